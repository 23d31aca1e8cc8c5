import { dirname } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { Command } from 'commander';
import { parseShard } from '../../../actions/renew/shard.ts';
import { BullaError } from '../../../errors.ts';
import { parseListenAddress } from '../../../servers/listener.ts';
import { readResignerConfig } from '../../../servers/resigner/config.ts';
import { serveResigner as start } from '../../../servers/resigner/serve.ts';
import { coreOf } from '../../../servers/resigner/wiring.ts';
import type { KeyFlags } from '../../flags/key-flags.ts';
import type { Context } from '../../shell/context.ts';
import { VERSION } from '../../shell/version.ts';
import { stay } from './stay.ts';
import { wireResigner } from './wiring.ts';

interface ResignerFlags extends KeyFlags {
  readonly config?: string;
  readonly listen?: string;
  readonly host?: readonly string[];
  readonly shard?: string;
}

/**
 * Most of what a pass makes is garbage at its end. V8 would let the space for young objects grow to 48 MiB
 * and be no faster for it; so it stays small, and with it what a service takes that serves thousands. Of old
 * objects it would keep as much garbage as there is content: a fifth costs a tenth more time in passes.
 */
const SMALL_HEAP = ['--max-semi-space-size=4', '--semi-space-growth-factor=1', '--heap-growing-percent=20'];

/** Runs the re-signer until it is asked to end. */
export async function serveResigner(context: Context, command: Command, flags: ResignerFlags): Promise<void> {
  if (flags.config === undefined)
    throw new BullaError('usage', 'no configuration is given', {
      hint: 'add --config FILE; spec/resigner.md has an example',
    });
  for (const flag of SMALL_HEAP) setFlagsFromString(flag);
  const path = context.path(flags.config);
  const shard = flags.shard === undefined ? undefined : parseShard(flags.shard);
  const listen = flags.listen === undefined ? undefined : parseListenAddress(flags.listen, '--listen');
  const wiring = wireResigner(context, command, flags);
  const { renewAt } = (await readResignerConfig(path)).timing;
  // Paths of the file are relative to it, those of the command line are not.
  const keys = (configured: readonly string[]): [readonly string[], string?] =>
    flags.key === undefined ? [configured, dirname(path)] : [[flags.key]];
  const server = await start({
    where: path,
    readConfig: () => readResignerConfig(path),
    ...wiring,
    openSigners: (configured) => wiring.openSigners(...keys(configured)),
    keyFiles: (configured) => wiring.keyFiles(...keys(configured)),
    core: coreOf(renewAt),
    shard,
    listen,
    hosts: flags.host ?? [],
    version: VERSION,
    log: (entry) => context.io.stderr.write(`${JSON.stringify(entry)}\n`),
  });
  const { collections, prefixes } = server;
  const more = prefixes === 0 ? '' : `, and those of ${prefixes} ${prefixes === 1 ? 'prefix' : 'prefixes'}`;
  const served = `${collections} ${collections === 1 ? 'collection' : 'collections'}${more}`;
  await stay(context, server, `serving ${served}, ${server.url}`, { collections, prefixes });
}
