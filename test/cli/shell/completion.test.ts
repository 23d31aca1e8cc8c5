import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bulla, temporaryDirectory } from '../../support/cli.ts';

/** What bash offers after these words, the last of them unfinished. */
async function offered(words: readonly string[]): Promise<string[]> {
  const script = join(await temporaryDirectory(), 'bulla.bash');
  await writeFile(script, (await bulla(['completion', 'bash'])).stdout);
  const quoted = ['bulla', ...words].map((word) => `'${word}'`).join(' ');
  const ask = `source ${script}; COMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _bulla; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['--norc', '-c', ask], { encoding: 'utf8' }).trim().split('\n');
}

describe('completion in bash', () => {
  it('offers the commands', async () => {
    expect(await offered([''])).toEqual(expect.arrayContaining(['ls', 'tree', 'serve', '--plain-http']));
    expect(await offered(['tr'])).toEqual(['tree']);
  });

  it('offers what a command has below it, and its flags', async () => {
    expect(await offered(['serve', ''])).toContain('registry');
    expect(await offered(['ls', '--lo'])).toEqual(['--long']);
    expect(await offered(['serve', 'registry', '--di'])).toEqual(['--dir']);
  });
});

describe('completion scripts', () => {
  it.each(['bash', 'zsh', 'fish'])('of %s name every command', async (shell) => {
    const { stdout } = await bulla(['completion', shell]);
    for (const name of ['inspect', 'completion', 'registry']) expect(stdout).toContain(name);
  });
});
