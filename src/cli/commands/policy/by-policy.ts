import {
  type OpenNotary,
  type PolicyAnswer,
  type PolicyPorts,
  verifyByPolicy,
} from '../../../actions/verify/by-policy.ts';
import { parsePlatform } from '../../../oci/platform.ts';
import type { Policy } from '../../../policy/file/policy.ts';
import { collectionPorts } from '../../flags/collection-flags.ts';
import { type GivenPolicy, givenPolicy, refuseDemands, statusPort } from '../../flags/policy-flags.ts';
import { answerJson, answerRemarks } from '../../render/policy-text.ts';
import type { Context } from '../../shell/context.ts';

/** Flags that say which image of an index is meant, and by which policy it is judged. */
export interface PolicyFlags extends GivenPolicy {
  readonly platform?: string;
  readonly eachPlatform?: true;
}

/** Loads what it takes to ask a Notary server only where a rule demands it. */
export function notaryOpener(context: Context): OpenNotary {
  return async (server, gun) => {
    const { openDemandedNotary } = await import('../../flags/notary-flags.ts');
    return await openDemandedNotary(context, server, gun);
  };
}

/** Verifies an image by a policy file, and prints what may be run. @throws BullaError as verifyByPolicy */
export async function printByPolicy(context: Context, text: string, flags: PolicyFlags): Promise<void> {
  refuseDemands({ ...flags });
  const policy = await givenPolicy(context, flags);
  const answer = await answerFor(context, text, policy, flags);
  const { output, directories } = context;
  for (const [level, line] of answerRemarks(answer, text, directories.state)) output[level](line);
  output.result(answer.runnable, answerJson(answer));
}

/**
 * What a policy says about an image.
 * @param shared what verifications of several images share
 * @throws BullaError as verifyByPolicy
 */
export async function answerFor(
  context: Context,
  text: string,
  policy: Policy,
  { platform, eachPlatform }: Pick<PolicyFlags, 'platform' | 'eachPlatform'> = {},
  shared?: PolicyPorts['shared'],
): Promise<PolicyAnswer> {
  const { reference, source } = await context.openImage(text);
  const ports: PolicyPorts = {
    ...(await collectionPorts(context)),
    ...{ shared, image: async () => source, openNotary: notaryOpener(context) },
    status: await (shared?.once('status', async () => statusPort(context)) ?? statusPort(context)),
  };
  return await verifyByPolicy({ text, reference }, policy, ports, {
    platform: platform === undefined ? undefined : parsePlatform(platform),
    eachPlatform,
    offline: context.settings.offline,
  });
}
