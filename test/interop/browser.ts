import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { peer } from './peers.ts';

type Json = Readonly<Record<string, unknown>>;

/** A page in a browser without a screen, by the DevTools protocol. */
export interface BrowserPage {
  send(method: string, parameters?: Json): Promise<Json>;
  /** The value of an expression, evaluated in the page. */
  evaluate<T>(expression: string): Promise<T>;
  /** Opens an address, and waits until it is loaded. */
  open(url: string): Promise<void>;
  /** What happened since the last {@link open}. */
  events(method: string): readonly Json[];
}

/** Starts Chromium with one page. It is told what to do over a pipe: there is no port. */
export async function startBrowser(): Promise<{ readonly page: BrowserPage; close(): Promise<void> }> {
  const profile = await mkdtemp(join(tmpdir(), 'bulla-browser-'));
  const child = spawn(
    peer('chromium'),
    [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'],
      ...['--hide-scrollbars', `--user-data-dir=${profile}`, '--remote-debugging-pipe', 'about:blank'],
    ],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
  );
  const ended = once(child, 'exit');
  const close = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const page = await attach(new Pipe(child.stdio[3] as Writable, child.stdio[4] as Readable));
    return { page, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Messages in JSON, each ended by a zero byte. */
class Pipe {
  readonly events: { readonly method: string; readonly params: Json }[] = [];
  private readonly waiting = new Map<
    number,
    { done: (result: Json) => void; failed: (error: Error) => void }
  >();
  private readonly output: Writable;
  private rest = '';
  private last = 0;
  private onEvent: (() => void) | undefined;

  constructor(output: Writable, input: Readable) {
    this.output = output;
    input.setEncoding('utf8');
    input.on('data', (text: string) => {
      const messages = (this.rest + text).split('\0');
      this.rest = messages.pop() ?? '';
      for (const message of messages) this.take(JSON.parse(message) as Json);
    });
  }

  send(method: string, params: Json, sessionId?: string): Promise<Json> {
    const id = ++this.last;
    this.output.write(
      `${JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) })}\0`,
    );
    return new Promise((done, failed) => this.waiting.set(id, { done, failed }));
  }

  async until(method: string): Promise<void> {
    while (!this.events.some((event) => event.method === method))
      await new Promise<void>((resolve) => {
        this.onEvent = resolve;
      });
  }

  private take({ id, method, params, result, error }: Json): void {
    if (typeof method === 'string') {
      this.events.push({ method, params: params as Json });
      this.onEvent?.();
      return;
    }
    const waiting = this.waiting.get(id as number);
    this.waiting.delete(id as number);
    if (error === undefined) waiting?.done(result as Json);
    else waiting?.failed(new Error(JSON.stringify(error)));
  }
}

async function attach(pipe: Pipe): Promise<BrowserPage> {
  const { targetInfos } = (await pipe.send('Target.getTargets', {})) as {
    targetInfos: { type: string; targetId: string }[];
  };
  const targetId = targetInfos.find(({ type }) => type === 'page')?.targetId;
  const { sessionId } = (await pipe.send('Target.attachToTarget', { targetId, flatten: true })) as {
    sessionId: string;
  };
  const send = (method: string, parameters: Json = {}) => pipe.send(method, parameters, sessionId);
  for (const domain of ['Page', 'Network', 'Log', 'Runtime']) await send(`${domain}.enable`);
  return {
    send,
    async evaluate<T>(expression: string) {
      const { result, exceptionDetails } = await send('Runtime.evaluate', {
        expression,
        returnByValue: true,
      });
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
      return (result as { value: T }).value;
    },
    async open(url) {
      pipe.events.length = 0;
      await send('Page.navigate', { url });
      await pipe.until('Page.loadEventFired');
    },
    events: (method) => pipe.events.filter((event) => event.method === method).map(({ params }) => params),
  };
}
