import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { type RegistryServer, serveRegistry } from '../../src/servers/registry/server.ts';
import { type Emulator, startEmulator } from '../support/emulators/proxy.ts';
import { EMULATED } from '../support/emulators/table.ts';
import { Flow, STEPS } from '../support/flow/flow.ts';
import { runHere } from '../support/flow/in-process.ts';

/** The others are tried in `make interop`, before a registry that has no more than it must. */
const HERE = (process.env['FLOW'] ?? 'zot quay').split(' ');

describe.each(HERE)('the whole flow on a registry like %s', (name) => {
  const { dialect, prefix = '', ...place } = EMULATED[name]!;
  let server: RegistryServer;
  let emulator: Emulator;
  let flow: Flow;
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'bulla-flow-'));
    server = await serveRegistry({ dir: join(directory, 'registry') });
    emulator = await startEmulator(server.address, dialect());
    const [repository, elsewhere] = [
      `${emulator.host}/${prefix}team/app`,
      `${emulator.host}/${prefix}mirror/app`,
    ];
    flow = await Flow.make({ repository, elsewhere, ...place }, directory, runHere);
  });
  afterAll(async () => {
    await emulator?.stop();
    await server?.close();
    await rm(directory, { recursive: true, force: true });
  });

  it.each(STEPS)('$name', ({ run }) => run(flow));
});
