import { readPolicy } from '../../flags/policy-flags.ts';
import { demandsText } from '../../render/policy-text.ts';
import type { Context } from '../../shell/context.ts';

/** Checks a policy file, and shows its rules. @throws BullaError policy-invalid, not-found, key-invalid, … */
export async function printCheck(context: Context, file: string): Promise<void> {
  const { rules, files, sha256 } = await readPolicy(context, file);
  const { output } = context;
  for (const rule of rules) for (const line of demandsText(rule)) output.verbose(line);
  output.info(`${file} is valid`);
  const shown = rules.map(({ scope, mode, verdict, file: from }) => ({
    ...{ scope, mode, decision: verdict.kind },
    ...(from !== undefined && { file: from }),
  }));
  output.result([], { file, files, sha256, rules: shown });
}
