import { quoted } from '../http/redact.ts';

/** Distribution-spec, "Warnings": at most so many bytes are read. */
const MAX_WARNING = 4096;
/** A registry that invents a new warning for each answer is not remembered for ever. */
const MAX_REMEMBERED = 256;

/**
 * Text of a `Warning: 299 - "…"` header (distribution-spec, "Warnings"); undefined for one of another
 * code, agent or form.
 * @param secrets what was sent, which is not shown where it is said again
 */
export function parseWarning(value: string, secrets: readonly string[] = []): string | undefined {
  if (Buffer.byteLength(value, 'latin1') > MAX_WARNING) return undefined;
  const match = /^299 - "((?:[^"\\]|\\.)*)"(?: "[^"]*")?$/.exec(value.trim());
  const text = match?.[1]?.replace(/\\(.)/g, '$1');
  return text === undefined || text === '' ? undefined : quoted(text, 1000, secrets);
}

/** Passes each warning of each registry on once. */
export class Warnings {
  private readonly sink: (message: string) => void;
  private readonly seen = new Set<string>();

  constructor(sink: (message: string) => void) {
    this.sink = sink;
  }

  note(registry: string, headers: readonly string[], secrets: readonly string[] = []): void {
    for (const header of headers) {
      const text = parseWarning(header, secrets);
      if (text === undefined) continue;
      const message = `${registry} says: ${text}`;
      if (this.seen.has(message) || this.seen.size >= MAX_REMEMBERED) continue;
      this.seen.add(message);
      this.sink(message);
    }
  }
}
