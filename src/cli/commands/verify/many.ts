import type { NotaryPort } from '../../../actions/verify/notary.ts';
import { Shared } from '../../../actions/verify/shared.ts';
import { type VerifyPorts, verify } from '../../../actions/verify/verify.ts';
import { formatRepository } from '../../../oci/reference.ts';
import { collectionPorts } from '../../flags/collection-flags.ts';
import { givenPolicy, isByPolicy, refuseDemands } from '../../flags/policy-flags.ts';
import { requirementsOf } from '../../flags/signature-flags.ts';
import {
  checkNotaryFlags,
  demandsOf,
  type VerifyCommandFlags as Flags,
  notaryAuthority,
  notaryDemandsOf,
} from '../../flags/verify-flags.ts';
import { type Remark, remarksOn, verifiedJson } from '../../render/verified-text.ts';
import type { Context } from '../../shell/context.ts';
import { runMany } from '../../shell/many.ts';

/** What is printed of an image that may be run. */
interface Answer {
  readonly runnable: string;
  readonly remarks: readonly Remark[];
  readonly json: Readonly<Record<string, unknown>>;
}

/**
 * Verifies several images in one run: keys, pins and policy are read once, each collection and each Notary repository
 * once for all its names, and connections and tokens are shared.
 * @param onVerified called for each image that may be run
 * @throws BullaError with the code of the worst failure
 */
export async function verifyAll(
  context: Context,
  texts: readonly string[],
  flags: Flags,
  onVerified?: (text: string, runnable: string) => void,
): Promise<void> {
  const work = isByPolicy(flags) ? await byPolicy(context, flags) : await byDemands(context, flags);
  const { output } = context;
  await runMany(context, texts, 'verified', work, ({ runnable, remarks, json }, text) => {
    onVerified?.(text, runnable);
    for (const [level, line] of remarks) output[level === 'warn' ? 'warn' : 'verbose'](`${text}: ${line}`);
    output.result(runnable, { given: text, ...json });
  });
}

type Work = (text: string) => Promise<Answer>;

async function byDemands(context: Context, flags: Flags): Promise<Work> {
  checkNotaryFlags(flags);
  const { notary } = flags;
  const shared = new Shared();
  const collections = await collectionPorts(context);
  const common: Omit<VerifyPorts, 'image'> = {
    ...collections,
    shared,
    requirements: () => shared.once('requirements', () => requirementsOf(context, flags)),
    pins: () => shared.once('pins', async () => [...(await collections.pins())]),
  };
  const demands = notary === undefined ? await demandsOf(context, flags) : notaryDemandsOf(context, flags);
  return async (text) => {
    const { reference, source } = await context.openImage(text);
    const port =
      notary === undefined ? undefined : await notaryOf(context, text, { ...flags, notary }, shared);
    const ports: VerifyPorts = { ...common, image: async () => source, notary: port };
    const verified = await verify({ text, reference }, demands, ports);
    return {
      runnable: verified.runnable,
      remarks: remarksOn(verified, text, context.directories.state),
      json: verifiedJson(verified),
    };
  };
}

async function notaryOf(
  context: Context,
  text: string,
  flags: Flags & { readonly notary: string },
  shared: Shared,
): Promise<NotaryPort> {
  const [{ notaryRepository, notaryPort }, { parseReference }] = await Promise.all([
    import('../../flags/notary-flags.ts'),
    import('../../../oci/reference.ts'),
  ]);
  const reference = notaryRepository(parseReference(text));
  return await shared.once(`port ${formatRepository(reference)}`, () =>
    notaryPort(context, reference, { ...flags, ...notaryAuthority(flags) }),
  );
}

async function byPolicy(context: Context, flags: Flags): Promise<Work> {
  const [{ answerFor }, { answerJson, answerRemarks }] = await Promise.all([
    import('../policy/by-policy.ts'),
    import('../../render/policy-text.ts'),
  ]);
  refuseDemands({ ...flags });
  const policy = await givenPolicy(context, flags);
  const shared = new Shared();
  return async (text) => {
    const answer = await answerFor(context, text, policy, flags, shared);
    return {
      runnable: answer.runnable,
      remarks: answerRemarks(answer, text, context.directories.state),
      json: answerJson(answer),
    };
  };
}
