import process from 'node:process';
import type { Context } from '../../shell/context.ts';

/** What runs until it is asked to end. */
interface Staying {
  readonly address: string;
  readonly url: string;
  reload?(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Announces a server that has started, and lets it run until the person or the system asks it to end, which is how
 * it is meant to end. SIGHUP makes it read its files again.
 */
export async function stay(
  context: Context,
  server: Staying,
  announcement: string,
  json: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const { output, signal } = context;
  context.defer(() => server.close());
  const { url, address } = server;
  output.result(announcement, { url, address, ...json });
  const onHangup = (): void => void server.reload?.();
  process.on('SIGHUP', onHangup);
  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  process.off('SIGHUP', onHangup);
}
