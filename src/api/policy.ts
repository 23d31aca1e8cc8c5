import { join } from 'node:path';
import { eachOf, type Outcome } from '../actions/copy/many.ts';
import {
  verifyByPolicy as decide,
  outcomeOf,
  type PolicyAnswer,
  type PolicyPorts,
} from '../actions/verify/by-policy.ts';
import { Shared } from '../actions/verify/shared.ts';
import { type BullaError, isBullaError, throwIfAborted } from '../errors.ts';
import { parsePlatform } from '../oci/platform.ts';
import { formatReference, parseReference, type Reference } from '../oci/reference.ts';
import { type Policy, type PolicyRule, ruleFor } from '../policy/file/policy.ts';
import { KeptAnswers } from '../revocation-client/answers.ts';
import { statusClient } from '../revocation-client/client.ts';
import { type Call, type Config, call } from './config.ts';
import { type LoadedPolicy, readPolicyFiles } from './policy-files.ts';
import { trustedRootFor } from './sigstore.ts';

/** What {@link verifyByPolicy} leaves to the caller: everything else stands in the policy. */
export interface VerifyByPolicyOptions extends Config {
  /** Of an index: the image for this platform, `linux/arm64`. */
  readonly platform?: string | undefined;
  /** Also accept an index that is not signed itself where every platform's image is. */
  readonly eachPlatform?: boolean | undefined;
}

/**
 * Reads a policy file, the files that it includes, and all keys, certificates and roots that they name, as `bulla policy
 * check` does (spec/policy.md). Read it once, and decide about any number of images with it.
 * @param path of the file; paths in it are relative to it
 * @throws BullaError policy-invalid, with line and column of each mistake in its details; not-found, key-invalid,
 *   certificate-invalid, content-invalid
 * @example
 * ```ts
 * import { writeFile } from 'node:fs/promises';
 * import { isBullaError, readPolicy } from 'bulla';
 *
 * await writeFile('policy.yaml', 'version: 1\nrules: [{ scope: registry.example.com/*, deny: not yet, mood: bad }]');
 * try {
 *   await readPolicy('policy.yaml');
 * } catch (error) {
 *   if (!isBullaError(error, 'policy-invalid')) throw error;
 *   console.log(error.details['mistakes']);
 * }
 * ```
 */
export async function readPolicy(path: string, options: Config = {}): Promise<LoadedPolicy> {
  return await call(options, async (one) =>
    readPolicyFiles(path, {
      cwd: process.cwd(),
      trustedRoot: (place) => trustedRootFor(one, place),
    }),
  );
}

/**
 * Decides by a policy whether an image may be run, as `bulla verify --policy` does (spec/policy.md, "Decision"). Run
 * `runnable` of the answer, never the tag; `verified` is missing if the rule allows the image without verification, or if
 * it only audits and the image was refused: then `refusal` says why.
 * @param policy of {@link readPolicy}
 * @throws BullaError policy-denied where no rule allows it; as {@link verify}
 * @example
 * ```ts
 * import { writeFile } from 'node:fs/promises';
 * import { readPolicy, verifyByPolicy } from 'bulla';
 *
 * const rules = [{ scope: 'registry.example.com/team/*', signatures: [{ keys: ['release.pub'] }] }];
 * await writeFile('policy.json', JSON.stringify({ version: 1, rules }));
 * const policy = await readPolicy('policy.json');
 * const { runnable, rule } = await verifyByPolicy('registry.example.com/team/app:v1', policy);
 * console.log(`run ${runnable}, by the rule for ${rule.scope}`);
 * ```
 */
export async function verifyByPolicy(
  reference: string | Reference,
  policy: Policy,
  options: VerifyByPolicyOptions = {},
): Promise<PolicyAnswer> {
  return await call(options, (one) => answer(one, textOf(reference), policy, options));
}

/** How {@link verifyManyByPolicy} verifies. */
export interface VerifyManyByPolicyOptions extends VerifyByPolicyOptions {
  /** How many images are verified at the same time; 8 if left out. */
  readonly concurrency?: number | undefined;
  /** Called with each outcome, in the order of the references. */
  readonly onOutcome?: ((outcome: Outcome<PolicyAnswer>) => void) | undefined;
}

/**
 * Decides about several images as {@link verifyByPolicy} does, in one run: each trust collection is read once, and
 * connections and tokens are shared. A failure of one does not end the others: look at `ok` of each outcome.
 * @returns outcomes in the order of the references; one that is given twice is verified once
 * @throws BullaError interrupted, or with what the signal says, where it ends the run
 * @example
 * ```ts
 * import { writeFile } from 'node:fs/promises';
 * import { readPolicy, verifyManyByPolicy } from 'bulla';
 *
 * await writeFile('policy.yaml', 'version: 1\nrules: [{ scope: registry.example.com/*, allow: a test }]');
 * const policy = await readPolicy('policy.yaml');
 * const images = ['registry.example.com/team/app:v1', 'registry.example.com/team/app:v2'];
 * for (const outcome of await verifyManyByPolicy(images, policy))
 *   console.log(outcome.text, outcome.ok ? outcome.value.runnable : outcome.error.code);
 * ```
 */
export async function verifyManyByPolicy(
  references: readonly (string | Reference)[],
  policy: Policy,
  options: VerifyManyByPolicyOptions = {},
): Promise<readonly Outcome<PolicyAnswer>[]> {
  const { concurrency = 8, onOutcome, signal } = options;
  return await call(options, async (one) => {
    const shared = new Shared();
    const outcomes: Outcome<PolicyAnswer>[] = [];
    await eachOf(
      references.map(textOf),
      { concurrency, signal },
      (text) => answer(one, text, policy, options, shared),
      (outcome) => {
        outcomes.push(outcome);
        onOutcome?.(outcome);
      },
    );
    throwIfAborted(signal);
    return outcomes;
  });
}

/** What a policy says about an image, and why. */
export type PolicyExplanation = {
  /** The repository that rules are about. */
  readonly place: string;
  /** The most specific rule for it; undefined where none is about it. */
  readonly rule: PolicyRule | undefined;
} & (
  | { readonly accepted: true; readonly answer: PolicyAnswer }
  /** `error.details.causes` lists why each signature that was found does not count. */
  | { readonly accepted: false; readonly error: BullaError }
);

/**
 * Says which rule of a policy holds for an image, and how the image fares under it, as `bulla policy explain` does.
 * @returns a refusal as a value, also if the registry cannot be reached: its code tells them apart
 * @example
 * ```ts
 * import { writeFile } from 'node:fs/promises';
 * import { explainPolicy, readPolicy } from 'bulla';
 *
 * await writeFile('policy.yaml', 'version: 1\nrules: [{ scope: registry.example.com/*, deny: not yet }]');
 * const policy = await readPolicy('policy.yaml');
 * const explained = await explainPolicy('registry.example.com/team/app:v1', policy);
 * if (!explained.accepted) console.log(explained.rule?.scope, explained.error.message);
 * ```
 */
export async function explainPolicy(
  reference: string | Reference,
  policy: Policy,
  options: VerifyByPolicyOptions = {},
): Promise<PolicyExplanation> {
  return await call(options, async (one) => {
    const text = textOf(reference);
    const place = one.collections.placeOf(parseReference(text));
    const rule = ruleFor(policy, place);
    try {
      return { place, rule, accepted: true, answer: await answer(one, text, policy, options) };
    } catch (error) {
      if (!isBullaError(error) || error.code === 'internal' || one.signal?.aborted === true) throw error;
      return { place, rule, accepted: false, error };
    }
  });
}

/** An image, and what a policy is expected to decide about it: `verified`, `allowed`, `audited`, or the code of an error. */
export interface PolicyExpectation {
  readonly reference: string;
  readonly outcome: string;
}

/** What a policy decided instead, or as it was expected. */
export interface PolicyTestResult extends PolicyExpectation {
  readonly found: string;
}

/**
 * Compares what a policy decides with what is expected, as `bulla policy test` does.
 * @returns a result for each expectation, in their order: a test passes where `found` is `outcome`
 * @example
 * ```ts
 * import { writeFile } from 'node:fs/promises';
 * import { readPolicy, testPolicy } from 'bulla';
 *
 * const rules = [{ scope: 'registry.example.com/team/*', signatures: [{ keys: ['release.pub'] }] }];
 * await writeFile('policy.json', JSON.stringify({ version: 1, rules }));
 * const results = await testPolicy(await readPolicy('policy.json'), [
 *   { reference: 'registry.example.com/team/app:v1', outcome: 'verified' },
 *   { reference: 'registry.example.com/other/app:v1', outcome: 'policy-denied' },
 * ]);
 * for (const { reference, outcome, found } of results)
 *   console.log(`${outcome === found ? 'ok' : 'FAILED'} ${reference}: ${found}`);
 * ```
 */
export async function testPolicy(
  policy: Policy,
  expectations: readonly PolicyExpectation[],
  options: VerifyByPolicyOptions = {},
): Promise<readonly PolicyTestResult[]> {
  return await call(options, async (one) => {
    const shared = new Shared();
    const results: PolicyTestResult[] = [];
    for (const expected of expectations) {
      const found = await outcomeOf(() => answer(one, expected.reference, policy, options, shared));
      throwIfAborted(one.signal);
      results.push({ ...expected, found });
    }
    return results;
  });
}

async function answer(
  one: Call,
  text: string,
  policy: Policy,
  { platform, eachPlatform }: VerifyByPolicyOptions,
  shared?: Shared,
): Promise<PolicyAnswer> {
  const { reference, source } = await one.places.openImage(text);
  const ports: PolicyPorts = {
    ...one.collections,
    ...{ shared, image: async () => source, openNotary: (server, gun) => one.notary(server, gun) },
    status: statusClient({
      kept: new KeptAnswers(join(one.directories.cache, 'revocation')),
      now: () => one.now,
      pool: async () => one.pool(),
    }),
  };
  return await decide({ text, reference }, policy, ports, {
    platform: platform === undefined ? undefined : parsePlatform(platform),
    eachPlatform,
  });
}

function textOf(reference: string | Reference): string {
  return typeof reference === 'string' ? reference : formatReference(reference);
}
