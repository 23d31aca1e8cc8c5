import { join } from 'node:path';
import type { LoadedPolicy } from '../../api/policy-files.ts';
import type { StatusPort } from '../../crypto/certificate-status.ts';
import { BullaError } from '../../errors.ts';
import type { HttpPool } from '../../http/pool.ts';
import type { Policy } from '../../policy/file/policy.ts';
import type { Context } from '../shell/context.ts';
import { trustedRootOf } from './keyless-flags.ts';

/**
 * A policy with the files that it includes, and the keys, certificates and roots that they name.
 * @throws BullaError policy-invalid, not-found, key-invalid, certificate-invalid, …
 */
export async function readPolicy(context: Context, path: string): Promise<LoadedPolicy> {
  const { readPolicyFiles } = await import('../../api/policy-files.ts');
  return await readPolicyFiles(path, {
    cwd: context.io.cwd,
    trustedRoot: (place) => trustedRootOf(context, place),
  });
}

/** Where a policy is that decides instead of flags. */
export interface GivenPolicy {
  readonly policy?: string | undefined;
  /** A `trustpolicy.json` of Notation. */
  readonly trustPolicy?: string | undefined;
  readonly trustStore?: string | undefined;
}

/** Whether a policy decides. @throws BullaError usage where two policies are given, or a trust store without one */
export function isByPolicy({ policy, trustPolicy, trustStore }: GivenPolicy): boolean {
  if (policy !== undefined && trustPolicy !== undefined)
    throw new BullaError('usage', '--policy and --trust-policy exclude each other', {
      hint: 'bulla policy import makes a policy file of a trustpolicy.json, to which rules can be added',
    });
  if (trustStore !== undefined && trustPolicy === undefined)
    throw new BullaError('usage', '--trust-store goes with --trust-policy', {
      hint: 'add --trust-policy FILE',
    });
  return policy !== undefined || trustPolicy !== undefined;
}

/** The policy that is given: a file of ours, or one of Notation, as it is. @throws BullaError as {@link readPolicy} */
export async function givenPolicy(context: Context, given: GivenPolicy): Promise<Policy> {
  const { policy = '', trustPolicy, trustStore } = given;
  if (trustPolicy === undefined) return await readPolicy(context, policy);
  const { readTrustPolicyFile } = await import('../../api/policy-files.ts');
  return await readTrustPolicyFile(trustPolicy, trustStore, {
    cwd: context.io.cwd,
    trustedRoot: (place) => trustedRootOf(context, place),
    onNote: (note) => context.output.warn(note),
  });
}

/** Asks about the revocation of certificates; what that takes is loaded when it is first asked for. */
export function statusPort(context: Context): StatusPort {
  const { directories, io, settings } = context;
  let pool: Promise<HttpPool> | undefined;
  const openPool = async (): Promise<HttpPool> => {
    const { HttpPool } = await import('../../http/pool.ts');
    const { http } = await (await context.connections()).reach('localhost');
    const opened = new HttpPool({ ...http, preconnected: undefined });
    context.defer(() => opened.close());
    return opened;
  };
  let client: Promise<StatusPort> | undefined;
  const open = async (): Promise<StatusPort> => {
    const [{ statusClient }, { KeptAnswers }] = await Promise.all([
      import('../../revocation-client/client.ts'),
      import('../../revocation-client/answers.ts'),
    ]);
    return statusClient({
      kept: new KeptAnswers(join(directories.cache, 'revocation')),
      now: () => io.now(),
      ...(!settings.offline && { pool: () => (pool ??= openPool()) }),
    });
  };
  return {
    async statusOf(...question) {
      client ??= open();
      return await (await client).statusOf(...question);
    },
  };
}

/** With a policy, no other flag says what is demanded. @throws BullaError usage */
export function refuseDemands(flags: Readonly<Record<string, unknown>>): void {
  const given = Object.entries(flags).find(
    ([name, value]) => value !== undefined && !BESIDE.has(name) && !(name === 'name' && value === true),
  );
  if (given === undefined) return;
  const [name, value] = given;
  const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new BullaError('usage', `--policy and --${value === false ? 'no-' : ''}${flag} exclude each other`, {
    hint: 'the policy says what is demanded: put it there, or leave --policy out',
  });
}

/** Flags that may be given along with a policy. */
const BESIDE: ReadonlySet<string> = new Set([
  'policy',
  'trustPolicy',
  'trustStore',
  'from',
  'platform',
  'eachPlatform',
]);
