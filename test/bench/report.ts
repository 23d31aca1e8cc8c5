import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

/** What a benchmark is asked for; BENCH_SIZE chooses between them. */
export interface BenchOptions {
  /** `small` checks in a minute or two that the measurement works; only `full` gives figures worth quoting. */
  readonly size: 'small' | 'full';
  /** Measurements of which the median is taken. */
  readonly runs: number;
}

/** A comparison that a benchmark is held to. */
export interface Goal {
  readonly what: string;
  readonly measured: number;
  readonly atMost: number;
}

/** One table of a report. */
export interface Section {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
  readonly goals?: readonly Goal[];
  readonly notes?: readonly string[];
}

/** What each file in this directory that measures something exports as `bench`. */
export type Bench = (options: BenchOptions) => Promise<readonly Section[]>;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Three significant digits, as text. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

/** A section as Markdown. */
export function markdown(section: Section): string {
  const line = (cells: readonly (string | number)[]): string =>
    `| ${cells.map((cell) => (typeof cell === 'number' ? figure(cell) : cell)).join(' | ')} |`;
  const goals = (section.goals ?? []).map(
    ({ what, measured, atMost }) =>
      `- ${measured <= atMost ? 'holds' : '**does not hold**'}: ${what}: ${figure(measured)} (at most ${figure(atMost)})`,
  );
  return [
    `## ${section.title}`,
    '',
    line(section.columns),
    line(section.columns.map(() => '---')),
    ...section.rows.map(line),
    '',
    ...goals,
    ...(section.notes ?? []).map((note) => `- ${note}`),
    '',
  ].join('\n');
}

/** Writes `.cache/bench/report.md` and `.json`. */
export function writeReport(sections: readonly Section[], options: BenchOptions, rerun: string): string {
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
  const text = [
    '# Measurements',
    '',
    `${new Date().toISOString()}; ${machine}; size ${options.size}, medians of ${options.runs}.`,
    `Again: \`${rerun}\``,
    '',
    ...sections.map(markdown),
  ].join('\n');
  mkdirSync('.cache/bench', { recursive: true });
  writeFileSync('.cache/bench/report.md', text);
  writeFileSync('.cache/bench/report.json', JSON.stringify({ machine, options, sections }, undefined, 2));
  return text;
}
