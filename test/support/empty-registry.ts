import { createServer, type ServerResponse } from 'node:http';
import { onTestFinished } from 'vitest';
import { listen } from './listen.ts';

/**
 * A registry that has nothing and counts its connections.
 * @param least how many there must be before it answers
 */
export async function emptyRegistry(least = 1): Promise<{
  readonly host: string;
  readonly connections: () => number;
}> {
  let count = 0;
  const waiting: ServerResponse[] = [];
  const answer = (): void => {
    if (count >= least) for (const response of waiting.splice(0)) response.writeHead(404).end();
  };
  const server = createServer((_, response) => {
    waiting.push(response);
    answer();
  });
  server.on('connection', () => {
    count++;
    answer();
  });
  const { host, stop } = await listen(server);
  onTestFinished(stop);
  return { host, connections: () => count };
}
