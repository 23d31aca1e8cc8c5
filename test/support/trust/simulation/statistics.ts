/** What happened in schedules, added up. */
export interface Statistics {
  schedules: number;
  events: number;
  /** Changes that were asked for, and how they ended. */
  changes: number;
  done: number;
  staged: number;
  conflicts: number;
  failed: number;
  /** Runs that died, and those of them that nobody started again. */
  deaths: number;
  abandoned: number;
  /** Most rounds of a publish, and all of them. */
  maxRounds: number;
  rounds: number;
  headsWritten: number;
  /** Schedules in which a finished change was in the head only after one more fold; such changes. */
  schedulesFolded: number;
  folded: number;
  /** Finished changes that the fold could only report: somebody had set the same name meanwhile. */
  conflictsLater: number;
  /** Finished changes that have to be made again; staged ones. */
  lost: number;
  lostStaged: number;
  reads: number;
  /** Reads that were answered from memory, because heads raced. */
  racing: number;
  /** Reads that failed while an attacker was there, or after a writer died or stood still. */
  readErrors: number;
  /** Reads that showed a revoked name again, because the head that had revoked it was buried. */
  revokesBuried: number;
  /** Readers who cannot read the head in the end, after another fold: only an attacker can bring that about. */
  stuckReaders: number;
}

export function noStatistics(): Statistics {
  return {
    schedules: 0,
    events: 0,
    changes: 0,
    done: 0,
    staged: 0,
    conflicts: 0,
    failed: 0,
    deaths: 0,
    abandoned: 0,
    maxRounds: 0,
    rounds: 0,
    headsWritten: 0,
    schedulesFolded: 0,
    folded: 0,
    conflictsLater: 0,
    lost: 0,
    lostStaged: 0,
    reads: 0,
    racing: 0,
    readErrors: 0,
    revokesBuried: 0,
    stuckReaders: 0,
  };
}

export function addStatistics(sum: Statistics, one: Statistics): void {
  for (const name of Object.keys(sum) as (keyof Statistics)[])
    sum[name] = name === 'maxRounds' ? Math.max(sum[name], one[name]) : sum[name] + one[name];
}

/** One line for people. */
export function describeStatistics(s: Statistics): string {
  const parts = [
    `${s.schedules} schedules, ${s.changes} changes: ${s.done} done, ${s.staged} staged, ${s.conflicts} conflicts, ${s.failed} failed, ${s.abandoned} abandoned after ${s.deaths} deaths`,
    `${(s.rounds / Math.max(1, s.done)).toFixed(2)} rounds (at most ${s.maxRounds}), ${s.headsWritten} heads`,
    `one more fold needed in ${s.schedulesFolded} schedules for ${s.folded} changes, ${s.conflictsLater} of them conflicts by then; lost: ${s.lost} done, ${s.lostStaged} staged`,
    `${s.reads} reads: ${s.racing} from memory, ${s.readErrors} errors, ${s.revokesBuried} of buried revokes; ${s.stuckReaders} readers stuck`,
  ];
  return parts.join('\n  ');
}
