import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { LOSSES } from '../support/recovery/cases.ts';
import type { Execute } from '../support/recovery/lab.ts';

const BULLA = fileURLToPath(new URL('../../dist/bulla.js', import.meta.url));

/** As a person runs it: the command, as it is installed. */
const built: Execute = (argv, { home, env }) =>
  new Promise((resolve) => {
    const { CI: _, ...rest } = process.env;
    const child = spawn(process.execPath, [BULLA, ...argv], {
      cwd: home,
      env: { ...rest, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (piece: Buffer) => {
      stdout += piece.toString();
    });
    child.stderr.on('data', (piece: Buffer) => {
      stderr += piece.toString();
    });
    child.on('close', (status) => resolve({ code: status ?? -1, stdout, stderr }));
  });

describe('the recoveries of docs/recovery.md, with the built command', () => {
  it.each(Object.entries(LOSSES))('%s', async (name, { lose }) => {
    const { lab, flags, check } = await lose(built);
    const recovery = await lab.recover(flags);
    const start = performance.now();
    const commands = await lab.follow(recovery);
    // The figures in the page: commands of a recovery, and how long they take together.
    console.log(`${name}: ${commands.length} commands, ${((performance.now() - start) / 1000).toFixed(1)} s`);
    await check?.(recovery);
    expect(await lab.owner.run('status REPO')).toMatchObject({ code: 0 });
  });
});
