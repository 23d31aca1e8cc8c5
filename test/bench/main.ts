import { existsSync } from 'node:fs';
import { type Bench, type BenchOptions, markdown, type Section, writeReport } from './report.ts';

/** Runs the measurements that BENCH names (all by default) and writes what they gave. */
const ALL = ['startup', 'copy', 'verify', 'registry', 'tuf'];

const chosen = process.env['BENCH']?.split(',') ?? ALL;
const unknown = chosen.filter((name) => !ALL.includes(name));
if (unknown.length > 0) throw new Error(`BENCH=${unknown.join(',')}: there are ${ALL.join(', ')}`);
const size = process.env['BENCH_SIZE'] === 'full' ? 'full' : 'small';
const runs = Number(process.env['BENCH_RUNS'] ?? (size === 'full' ? 5 : 1));
const options: BenchOptions = { size, runs };
const rerun = `make bench BENCH_SIZE=${size} BENCH_RUNS=${runs} BENCH=${chosen.join(',')}`;

const sections: Section[] = [];
for (const name of chosen) {
  const module = new URL(`${name}.ts`, import.meta.url);
  if (!existsSync(module)) throw new Error(`${module.pathname} is missing`);
  process.stderr.write(`measuring ${name}\n`);
  const { bench } = (await import(module.href)) as { bench: Bench };
  for (const section of await bench(options)) {
    sections.push(section);
    process.stdout.write(`${markdown(section)}\n`);
  }
  // After each, so that a failure of the next loses nothing.
  writeReport(sections, options, rerun);
}
process.stdout.write(`Written to .cache/bench/report.md and report.json. Again: ${rerun}\n`);
