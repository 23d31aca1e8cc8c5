import { isBullaError } from '../../../errors.ts';
import { parseReference } from '../../../oci/reference.ts';
import { ruleFor } from '../../../policy/file/policy.ts';
import { collectionPorts } from '../../flags/collection-flags.ts';
import { readPolicy } from '../../flags/policy-flags.ts';
import { answerJson, answerRemarks, demandsText } from '../../render/policy-text.ts';
import type { Context } from '../../shell/context.ts';
import { answerFor } from './by-policy.ts';

/** Shows the rule for an image, and how the image fares under it. Ends as `verify --policy` does. */
export async function printExplanation(context: Context, text: string, file: string): Promise<void> {
  const policy = await readPolicy(context, file);
  const { output, directories } = context;
  const { placeOf } = await collectionPorts(context);
  const place = placeOf(parseReference(text));
  const rule = ruleFor(policy, place);
  output.info(rule === undefined ? `no rule is about ${place}` : `${place} falls under the rule for`);
  if (rule !== undefined) for (const line of demandsText(rule)) output.info(line);
  try {
    const answer = await answerFor(context, text, policy);
    for (const [level, line] of answerRemarks(answer, text, directories.state))
      output[level === 'verbose' ? 'info' : level](line);
    output.result(answer.runnable, answerJson(answer));
  } catch (error) {
    if (isBullaError(error))
      for (const cause of causesOf(error.details)) output.info(`not counted: ${cause}`);
    throw error;
  }
}

/** Why each signature that was found does not count. */
function causesOf(details: Readonly<Record<string, unknown>> | undefined): string[] {
  const causes = details?.['causes'];
  if (!Array.isArray(causes)) return [];
  return causes.flatMap((cause: { readonly message?: unknown }) =>
    typeof cause.message === 'string' ? [cause.message] : [],
  );
}
