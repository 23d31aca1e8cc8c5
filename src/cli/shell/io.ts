/** What a command touches of the world outside, so that tests can hand it another one. */
export interface Io {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly home: string;
  /** Aborted when the person or the system asks the command to end. */
  readonly signal: AbortSignal;
  /** Path under which this program was started; undefined where it runs inside another one. */
  readonly program?: string | undefined;
  /** Told when a person is asked something, and when that is over. */
  readonly asking?: ((isAsked: boolean) => void) | undefined;
  /** The clock; read once per decision and handed down as a value. */
  now(): Date;
}

/** Where text goes. */
export interface Sink {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}
