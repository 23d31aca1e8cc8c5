import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { BullaError } from '../../errors.ts';
import { canonicalHost } from '../../oci/host.ts';
import { parseReference, type RegistryReference } from '../../oci/reference.ts';
import type { Cli, Context } from '../shell/context.ts';

/** How long it may take to remove what was pushed, also where the registry has stopped answering. */
const CLEAN_UP_MS = 60_000;

export function register(program: Command, cli: Cli): void {
  program
    .command('check')
    .summary('show what a registry supports, and whether signing and verifying will work there')
    .description(
      'Checks how a registry behaves where the specification leaves a choice, and shows how bulla adapts. Other commands ' +
        'use the results. It only reads, unless --write is given: then it pushes, moves and removes ' +
        'its own objects.\n' +
        'The exit status is 0 if everything that was tried works; otherwise that of the failure which other commands would end with.',
    )
    .argument('<registry[/repository]>', 'registry, repository or image')
    .option('--write', 'also test pushing, moving tags and removing, with a temporary tag (or repository)')
    .action(async (text: string, flags: { readonly write?: true }, command: Command) => {
      await printCheck(await cli.open(command), text, flags.write === true);
    });
}

async function printCheck(context: Context, text: string, isWriting: boolean): Promise<void> {
  const { registry, repository, version } = placeOf(text);
  const connections = await context.connections();
  const [{ checkRegistry, failureOfReport }, { checkJson, checkLines }] = await Promise.all([
    import('../../actions/check/check.ts'),
    import('../render/check-text.ts'),
  ]);
  const report = await checkRegistry(await connections.probes(registry), {
    repository,
    version,
    write: isWriting
      ? { id: randomBytes(8).toString('hex'), cleanUpEnds: () => AbortSignal.timeout(CLEAN_UP_MS) }
      : undefined,
    now: context.io.now(),
    signal: context.signal,
  });
  const json = checkJson(report);
  const failure = failureOfReport(report, json);
  if (failure === undefined || !context.settings.json) context.output.drawing(checkLines(report), json);
  if (failure !== undefined) throw failure;
}

/** A host alone is a registry here; anything else is read as a reference is. @throws BullaError usage */
function placeOf(text: string): {
  readonly registry: string;
  readonly repository?: string;
  readonly version?: RegistryReference['tag'] | RegistryReference['digest'];
} {
  const bare = text.replace(/^docker:\/\//, '').replace(/\/$/, '');
  const host = bare.includes('/') ? undefined : canonicalHost(bare);
  if (host !== undefined) return { registry: host === 'index.docker.io' ? 'docker.io' : host };
  const reference = parseReference(text);
  if (reference.kind === 'registry') {
    const { registry, repository, digest, tag } = reference;
    return { registry, repository, version: digest ?? tag };
  }
  throw new BullaError('usage', `${text} is a layout, not a registry`, {
    hint: 'give the host, with the port if needed: bulla check registry.example.com:5000',
  });
}
