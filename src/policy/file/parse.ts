import { type LocatedMistake, mistakesText, parseLocated } from '../../encoding/located-yaml.ts';
import { BullaError } from '../../errors.ts';
import { mistakesIn } from './mistakes.ts';
import { type PolicyDocument, policySchema } from './schema.ts';

/** A mistake in a policy file, and where it stands. */
export type PolicyMistake = LocatedMistake;

/**
 * Reads a policy file, YAML or JSON (spec/policy.md), that includes no others. Nothing that it names is read.
 * @param where names the file in messages
 * @throws BullaError policy-invalid; its details list every mistake with line and column
 */
export function parsePolicy(source: string, where: string): PolicyDocument {
  const mistakes = (document: PolicyDocument) => [
    ...(document.include === undefined
      ? []
      : [{ path: ['include'], message: 'files cannot be included here: give the policy as a file' }]),
    ...mistakesIn(document),
  ];
  return parseLocated(source, policySchema, mistakes, (found, cause) => invalidPolicy(where, found, cause));
}

/** A policy file with mistakes. */
export function invalidPolicy(
  where: string,
  mistakes: readonly PolicyMistake[],
  cause?: unknown,
): BullaError {
  return new BullaError('policy-invalid', `${where} is not a valid policy: ${mistakesText(mistakes)}`, {
    cause,
    hint: 'correct the file (spec/policy.md describes it), then run: bulla policy check FILE',
    details: { file: where, mistakes },
  });
}
