import { BullaError, isBullaError } from '../../../errors.ts';
import { isWholeId } from '../../../trust/approve/change-id.ts';
import { PendingChange } from '../../../trust/approve/pending-change.ts';
import type { SignatureDemand, TufSigner } from '../../../tuf/edit/signing.ts';
import { readChange, report, sayMissing, writeChange } from '../../changing.ts';
import type { CollectionFlags } from '../../flags/collection-flags.ts';
import type { TrustKeyFlags } from '../../flags/key-flags.ts';
import type { PublishFlags } from '../../flags/publish-flags.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import type { Context } from '../../shell/context.ts';
import { openTerminal, promptLine } from '../../shell/prompt.ts';
import { trustMemory } from '../../shell/trust-stores.ts';

export interface ApproveFlags extends CollectionFlags, PublishFlags, TrustKeyFlags {
  readonly out?: string;
  readonly dryRun?: true;
  readonly yes?: true;
  /** Id of the one change that may be signed. */
  readonly change?: string;
}

/** `bulla approve FILE` */
export async function approveFile(context: Context, path: string, flags: ApproveFlags): Promise<void> {
  const change = await readChange(context, path).catch((cause: unknown) => {
    if (!isBullaError(cause, 'not-found')) throw cause;
    throw new BullaError('not-found', cause.message, {
      cause,
      hint: 'check the path; a change that is staged in a repository has an id: bulla pending REPOSITORY lists them',
    });
  });
  const pending = PendingChange.open(change, context.io.now());
  await compareWithMemory(context, pending);
  if (flags.change !== undefined && flags.change !== pending.digest) throw another(flags.change, pending);
  tellWhole(context, flags.change, [
    `a change of ${pending.name}, collection ${pending.change.id}`,
    `change ${pending.digest}`,
    ...pending.describe().map((line) => `  ${line}`),
  ]);
  const signed = new Set(pending.roles.flatMap((role) => pending.signedBy(role)));
  const signers = await signersOf(context, flags, pending.allDemands(), signed);
  if (flags.dryRun === true) return report(context, pending, { file: path, published: null, isTold: true });
  await confirm(context, flags, 'Sign this change?');
  const count = await pending.sign(signers);
  const out = flags.out ?? path;
  await writeChange(context, out, pending, out === path);
  context.output.info(`signed with ${count} ${count === 1 ? 'signature' : 'signatures'}`);
  report(context, pending, { file: out, published: null, isTold: true });
  sayMissing(context, pending.missing(), out);
}

/** Shows what is to be signed; who has named it by the whole of its id may have it unsaid (`-q`, JSON). */
export function tellWhole({ output }: Context, named: string | undefined, lines: readonly string[]): void {
  const isNamed = named !== undefined && isWholeId(named);
  if (!isNamed || !(output.options.quiet || output.options.json)) output.told(lines);
}

function another(wanted: string, { digest }: PendingChange): BullaError {
  return new BullaError('conflict', `the file holds the change ${digest}, and not ${wanted.slice(0, 80)}`, {
    hint: 'it was altered, or the state that it is for has moved on: look at it again with --dry-run',
    details: { expected: wanted, found: digest },
  });
}

/** Another collection under a name that was seen before is a reason not to go on. @throws BullaError trust-invalid, storage-error */
async function compareWithMemory(context: Context, { change, name }: PendingChange): Promise<void> {
  const memory = await trustMemory(context);
  for (const place of new Set([name, change.place])) {
    const seen = await memory.seen(place);
    if (seen === undefined || seen === change.id) continue;
    throw new BullaError(
      'trust-invalid',
      `the change is for the collection ${change.id.slice(0, 12)}, and ${place} was seen with ${seen.slice(0, 12)}`,
      {
        hint: 'do not sign it unless the collection was made anew on purpose; then: bulla pin rm',
        details: { reason: 'collection', expected: seen, found: change.id },
      },
    );
  }
}

/**
 * Signers for a change that waits.
 * @throws BullaError untrusted-identity where none of the keys at hand may sign it, or has not yet
 */
export async function signersOf(
  context: Context,
  flags: ApproveFlags,
  demands: readonly SignatureDemand[],
  signed: ReadonlySet<string>,
): Promise<readonly TufSigner[]> {
  const keys = keysAtHand(context, flags);
  const stray = await keys.unlisted(demands);
  if (stray.length > 0)
    context.output.warn(`${stray.join(', ')} may not sign this: no role of the change lists that key`);
  const open = demands.filter(({ role }) => role.keyids.some((keyid) => !signed.has(keyid)));
  const signers = await keys.signersFor(open, signed);
  if (signers.length > 0) return signers;
  const may = [...new Set(demands.flatMap(({ role }) => role.keyids))].filter((keyid) => !signed.has(keyid));
  throw new BullaError(
    'untrusted-identity',
    may.length === 0
      ? 'all keys that may sign this have signed it'
      : 'no key here may sign this, or those that may have signed it already',
    {
      hint:
        may.length === 0
          ? 'publish it: --import-signed'
          : `keys that may: ${may.map((keyid) => keyid.slice(0, 12)).join(', ')}; name one with --key`,
      details: { keys: may },
    },
  );
}

/** @throws BullaError usage where nobody is there to be asked, interrupted where the answer is no */
export async function confirm(
  { io }: Context,
  { yes }: { readonly yes?: true },
  question: string,
): Promise<void> {
  if (yes === true) return;
  const terminal = openTerminal(io);
  if (terminal === undefined)
    throw new BullaError('usage', 'nobody is there to be asked whether to sign', {
      hint: 'look at it with --dry-run, then say --yes',
    });
  try {
    const answer = await promptLine(`${question} [y/N] `, terminal);
    if (/^y(?:es)?$/i.test(answer.trim())) return;
  } finally {
    terminal.close();
  }
  throw new BullaError('interrupted', 'it was not signed', { hint: 'nothing was changed' });
}
