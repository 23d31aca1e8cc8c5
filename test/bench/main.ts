import { existsSync } from 'node:fs';
import { type Bench, type BenchOptions, markdown, type Section, writeReport } from './report.ts';

// What a machine sets for every Node, and no command here needs: reading a bundle of authorities at start
// costs more than the rest of the start.
for (const name of ['NODE_EXTRA_CA_CERTS', 'NODE_OPTIONS']) delete process.env[name];

/** Runs the measurements that BENCH names (all by default) and writes what they gave. */
const fileOf = (name: string): URL => new URL(`${name}.ts`, import.meta.url);
const ALL = [
  'startup',
  'copy',
  'copy-all',
  'verify',
  'registry',
  'tuf',
  'resigner',
  'renewals',
  'names',
  'many',
  'before',
  'publishers',
  'gate',
  'policy',
].filter((name) => existsSync(fileOf(name)));

const chosen = process.env['BENCH']?.split(',') ?? ALL;
const unknown = chosen.filter((name) => !ALL.includes(name));
if (unknown.length > 0) throw new Error(`BENCH=${unknown.join(',')}: there are ${ALL.join(', ')}`);
const size = process.env['BENCH_SIZE'] === 'full' ? 'full' : 'small';
const runs = Number(process.env['BENCH_RUNS'] ?? (size === 'full' ? 5 : 1));
const options: BenchOptions = { size, runs };
const rerun = `make bench BENCH_SIZE=${size} BENCH_RUNS=${runs} BENCH=${chosen.join(',')}`;

const sections: Section[] = [];
for (const name of chosen) {
  process.stderr.write(`measuring ${name}\n`);
  const { bench } = (await import(fileOf(name).href)) as { bench: Bench };
  for (const section of await bench(options)) {
    sections.push(section);
    process.stdout.write(`${markdown(section)}\n`);
  }
  // After each, so that a failure of the next loses nothing.
  writeReport(sections, options, rerun);
}
process.stdout.write(`Written to .cache/bench/report.md and report.json. Again: ${rerun}\n`);
