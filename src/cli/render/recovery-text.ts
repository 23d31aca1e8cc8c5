import type { RecoveryState } from '../../actions/recover/state.ts';
import type { RecoveryPlan, RecoveryStep } from '../../actions/recover/steps.ts';
import { shellWord } from '../../encoding/shell-word.ts';
import type { Line } from './style.ts';

/** A command as it can be pasted into a shell. */
export function commandLine({ command }: RecoveryStep): string {
  return command.map((word) => (FLAG.test(word) ? word : shellWord(word))).join(' ');
}

const FLAG = /^--?[a-z][a-z-]*$/;

/** A plan for people: the commands stand alone on their lines, to be copied. */
export function recoveryLines(plan: RecoveryPlan, repository: string): Line[] {
  const { steps, readers, unsaved, over } = plan;
  return [
    [['strong', `${repository}: ${plan.lost}${plan.isStolen ? ', stolen' : ''}`]],
    'Do this, in this order:',
    ...steps.flatMap((step, at) => stepLines(step, `${at + 1}. `)),
    'What readers see meanwhile:',
    ...readers.map((line) => `  - ${line}`),
    ...(unsaved.length === 0 ? [] : ['What cannot be saved:', ...unsaved.map((line) => `  - ${line}`)]),
    'It is over when:',
    ...over.flatMap((step) => stepLines(step, '- ')),
    [['faint', 'Each case, with what to expect: docs/recovery.md']],
  ];
}

function stepLines(step: RecoveryStep, mark: string): Line[] {
  const { why, where, exits } = step;
  const place = where === undefined ? '' : ` [${where}]`;
  const ends = exits === undefined ? '' : ` (ends with ${exits.join(' or ')})`;
  return [`  ${mark}${why}${place}${ends}`, ['       ', ['strong', commandLine(step)]]];
}

/** For `-o json` (spec/output.md). */
export function recoveryJson(
  { lost, isStolen, keys, steps, readers, unsaved, over }: RecoveryPlan,
  { repository, collection, source }: RecoveryState,
): Record<string, unknown> {
  return {
    ...{ repository, collection: collection?.id ?? null, source, lost, stolen: isStolen, keys },
    steps: steps.map(stepJson),
    readers,
    unsaved,
    over: over.map(stepJson),
  };
}

function stepJson(step: RecoveryStep): Record<string, unknown> {
  const { command: argv, why, where = null, exits = [0] } = step;
  return { command: commandLine(step), argv, why, where, exits };
}
