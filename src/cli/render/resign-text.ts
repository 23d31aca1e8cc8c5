import type { PassReport, PassResult } from '../../actions/renew/pass.ts';

/** What a person should know of a collection after a pass. */
export function complaintsOf({ place, outcome, alarms }: PassResult): readonly string[] {
  const lines = alarms.map(({ message, hint }) => (hint === undefined ? message : `${message}; ${hint}`));
  if (outcome.kind !== 'failed' || alarms.length > 0) return lines;
  const { message, hint } = outcome.failure;
  return [
    `${message.includes(place) ? message : `${place}: ${message}`}${hint === undefined ? '' : `; ${hint}`}`,
  ];
}

/** A collection after a pass, in one line. */
export function lineOf({ place, outcome }: PassResult): string {
  if (outcome.kind === 'failed') return `${place}: ${outcome.failure.code}`;
  if (outcome.kind !== 'passed') return `${place}: no collection`;
  const { work, folded, expiries } = outcome.freshness;
  const until = expiries.get('timestamp')?.toISOString().slice(0, 16).replace('T', ' ');
  const what = {
    fresh: 'fresh',
    renewed: 're-signed',
    // A change of roles is not among the changes of names, which are counted.
    folded: folded > 1 ? `published ${folded} staged changes` : 'published a staged change',
    healed: 'restored its head',
  };
  return `${place}: ${what[work]}, until ${until} UTC`;
}

/** A pass for `-o json`. */
export function jsonOf({ results, worst }: PassReport): Record<string, unknown> {
  return {
    fresh: worst === undefined,
    ...(worst !== undefined && { worst }),
    collections: results.map(({ place, outcome, alarms }) => ({
      place,
      ...outcomeJson(outcome),
      ...(alarms.length > 0 && {
        alarms: alarms.map(({ kind, code, message, role }) => ({
          kind,
          code,
          message,
          ...(role !== undefined && { role }),
        })),
      }),
    })),
  };
}

function outcomeJson(outcome: PassResult['outcome']): Record<string, unknown> {
  if (outcome.kind === 'failed') {
    const { code, message } = outcome.failure;
    return { outcome: 'failed', code, message };
  }
  if (outcome.kind !== 'passed') return { outcome: 'absent' };
  const { work, head, folded, conflicts, expiries, renewAt } = outcome.freshness;
  return {
    outcome: work,
    head,
    folded,
    conflicts: conflicts.length,
    renewAt: renewAt.toISOString(),
    expires: Object.fromEntries([...expiries].map(([role, date]) => [role, date.toISOString()])),
  };
}
