import { type LocatedMistake, mistakesText, parseLocated } from '../../encoding/located-yaml.ts';
import { BullaError } from '../../errors.ts';
import { mistakesIn } from './mistakes.ts';
import { type PolicyDocument, policySchema } from './schema.ts';

/** A mistake in a policy file, and where it stands. */
export type PolicyMistake = LocatedMistake;

/**
 * Reads a policy file, YAML or JSON (spec/policy.md). Nothing that it names is read.
 * @param where names the file in messages
 * @throws BullaError policy-invalid; its details list every mistake with line and column
 */
export function parsePolicy(source: string, where: string): PolicyDocument {
  return parseLocated(
    source,
    policySchema,
    mistakesIn,
    (mistakes, cause) =>
      new BullaError('policy-invalid', `${where} is not a valid policy: ${mistakesText(mistakes)}`, {
        cause,
        hint: 'correct the file; spec/policy.md describes what it may hold: bulla policy check FILE',
        details: { mistakes },
      }),
  );
}
