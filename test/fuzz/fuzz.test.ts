import { spawn } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { attemptOf } from '../support/fuzz/attempt.ts';
import { PARSERS } from '../support/fuzz/parsers.ts';

const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 60);
const SEED = Number(process.env['FUZZ_SEED'] ?? randomInt(2 ** 32));
/** How long one input may keep the other process busy before that is called a hang. */
const PATIENCE_MS = 30_000;
const KEPT = new URL('../../testdata/fuzz', import.meta.url).pathname;
const CHILD = new URL('../support/fuzz/child.ts', import.meta.url).pathname;

it(`nothing that strangers write crashes a parser or keeps it busy (FUZZ_SECONDS=${SECONDS} FUZZ_SEED=${SEED})`, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bulla-fuzz-'));
  try {
    const { status, output, index } = await fuzz(join(folder, 'progress'));
    if (status !== 0) {
      const kept = await keep(index);
      throw new Error(`input ${index} of seed ${SEED}, now ${kept}: ${output}`);
    }
    const count = Number(output.trim());
    process.stderr.write(`${count} inputs for ${PARSERS.length} parsers, FUZZ_SEED=${SEED}\n`);
    expect(count).toBeGreaterThan(PARSERS.length);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

interface Run {
  readonly status: number | string | null;
  readonly output: string;
  /** The input that was at hand at the end. */
  readonly index: number;
}

/** In a process of its own, so that a hang or exhausted memory is seen, and its input known. */
async function fuzz(progress: string): Promise<Run> {
  const args = [
    '--max-old-space-size=512',
    '--import',
    'tsx',
    CHILD,
    String(SEED),
    '0',
    String(SECONDS),
    progress,
  ];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let complaints = '';
  child.stdout.on('data', (piece: Buffer) => {
    output = (output + piece).slice(-10_000);
  });
  child.stderr.on('data', (piece: Buffer) => {
    complaints = (complaints + piece).slice(-10_000);
  });
  const ended = new Promise<number | string | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  let last = -1;
  const watch = setInterval(async () => {
    const index = await indexIn(progress);
    if (index === last) {
      complaints += `\nno end in sight after ${PATIENCE_MS} ms`;
      child.kill('SIGKILL');
    }
    last = index;
  }, PATIENCE_MS);
  try {
    const status = await ended;
    // What libraries warn about on the way is only of interest where the run ends badly.
    return { status, output: status === 0 ? output : output + complaints, index: await indexIn(progress) };
  } finally {
    clearInterval(watch);
  }
}

async function indexIn(progress: string): Promise<number> {
  try {
    return Number(await readFile(progress, 'utf8'));
  } catch {
    return 0;
  }
}

/** Keeps an input for good: from now on `make test` tries it too. */
async function keep(index: number): Promise<string> {
  const { parser, input } = attemptOf(SEED, index);
  const name = createHash('sha256').update(input).digest('hex').slice(0, 16);
  await mkdir(join(KEPT, parser.name), { recursive: true });
  await writeFile(join(KEPT, parser.name, name), input);
  return `testdata/fuzz/${parser.name}/${name}`;
}
