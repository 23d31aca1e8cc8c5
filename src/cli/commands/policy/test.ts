import { outcomeOf } from '../../../actions/verify/by-policy.ts';
import { BullaError } from '../../../errors.ts';
import { readPolicy } from '../../flags/policy-flags.ts';
import { readList } from '../../flags/reference-list.ts';
import type { Context } from '../../shell/context.ts';
import { answerFor } from './by-policy.ts';

interface Expectation {
  readonly reference: string;
  readonly outcome: string;
}

/** Compares what a policy decides with a table. @throws BullaError policy-denied where an outcome is another one */
export async function printTest(context: Context, file: string, policyFile: string): Promise<void> {
  const policy = await readPolicy(context, policyFile);
  const expected = (await readList(context, file, {})).map((line) => parseLine(line, file));
  const results: (Expectation & { readonly found: string })[] = [];
  for (const each of expected) {
    const found = await outcomeOf(() => answerFor(context, each.reference, policy));
    results.push({ ...each, found });
    const { reference, outcome } = each;
    if (found === outcome) context.output.info(`ok ${reference}: ${outcome}`);
    else context.output.warn(`${reference}: expected ${outcome}, found ${found}`);
  }
  const wrong = results.filter(({ outcome, found }) => outcome !== found).length;
  if (wrong > 0)
    throw new BullaError(
      'policy-denied',
      `${wrong} of ${results.length} images have another outcome than expected`,
      {
        hint: 'bulla policy explain REFERENCE --policy FILE shows why',
        details: { results },
      },
    );
  context.output.result([], { results });
}

function parseLine(line: string, file: string): Expectation {
  const [reference, outcome, ...more] = line.split(/\s+/);
  if (reference !== undefined && outcome !== undefined && more.length === 0) return { reference, outcome };
  throw new BullaError('usage', `${file}: expected REFERENCE OUTCOME, found ${JSON.stringify(line)}`, {
    hint: 'write one image and one outcome on each line: verified, allowed, audited, or a code such as unsigned',
  });
}
