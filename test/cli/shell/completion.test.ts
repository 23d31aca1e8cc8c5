import { execFileSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bulla, temporaryDirectory } from '../../support/cli.ts';
import { storePlainKeys } from '../../support/plain-keys.ts';
import { servedCollection } from '../../support/trust/served.ts';

const LAYOUT = new URL('../../../testdata/demo-image/layout', import.meta.url).pathname;

/** What bash offers after these words, the last of them unfinished; bulla answers with a line of what it was asked. */
async function offered(words: readonly string[], answers = ''): Promise<string[]> {
  const directory = await temporaryDirectory();
  const script = join(directory, 'bulla.bash');
  await writeFile(script, (await bulla(['completion', 'bash'])).stdout);
  const program = join(directory, 'bulla');
  await writeFile(program, `#!/bin/sh\n[ -z '${answers}' ] || printf '%s\\n' ${answers}\n`);
  await chmod(program, 0o755);
  const quoted = [program, ...words].map((word) => `'${word}'`).join(' ');
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

describe('completion of keys and names in bash', () => {
  const keys = 'release publisher';

  it.each([
    ['--key', ['sign', '--key', 're']],
    ['-k', ['sign', '-k', '']],
    ['--key=', ['sign', '--key', '=', 're']],
    ['--root-key', ['init', '--root-key', '']],
    ['--sign-with', ['rotate', '--sign-with', '']],
    ['key show', ['key', 'show', '']],
  ])('asks for keys after %s', async (_, words) => {
    expect(await offered(words, `"$2:$3" ${keys}`)).toEqual(
      expect.arrayContaining([`key:${words.at(-1)}`, 'release', 'publisher']),
    );
  });

  it.each([
    ['a repository', ['verify', 'registry.example.com/te'], 'registry.example.com/te'],
    ['a tag', ['verify', 'registry.example.com/app', ':', 'v'], 'registry.example.com/app:v'],
    ['a tag behind a port', ['verify', 'localhost', ':', '5000/app', ':', 'v'], 'localhost:5000/app:v'],
    ['all tags', ['sign', 'localhost', ':', '5000/app', ':'], 'localhost:5000/app:'],
    ['a repository in a flag', ['status', 'a', '--at', 'b'], 'b'],
  ])('asks for the names of %s', async (_, words, whole) => {
    const [answer] = await offered(words, `"$3x$2"`);
    // What bash has taken apart is not repeated.
    expect(answer).toBe(`${whole}xreference`.slice(whole.lastIndexOf(':') + 1));
  });

  it('does not ask for what is a file or a flag', async () => {
    for (const words of [
      ['verify', '--ca', 'nothing-here'],
      ['verify', '--dri'],
    ])
      expect((await offered(words, 'asked')).join()).not.toContain('asked');
  });
});

describe('bulla __complete', () => {
  it('names keys, pinned repositories, and the tags of a repository', async () => {
    const { name, run, home } = await servedCollection();
    await storePlainKeys(home, 'release', 'online');
    expect((await run(['__complete', 'key', ''])).stdout).toBe('online\nrelease\n');
    expect((await run(['__complete', 'key', 'r'])).stdout).toBe('release\n');
    await run(['pin', name, '--tofu']);
    expect((await run(['__complete', 'reference', ''])).stdout).toBe(`${name}\n`);
    expect((await run(['push', LAYOUT, `${name}:v1`])).code).toBe(0);
    expect((await run(['__complete', 'reference', `${name}:`])).stdout).toBe(`${name}:v1\n`);
    expect((await run(['__complete', 'reference', `${name}:x`])).stdout).toBe('');
  });

  it.each(['localhost:1/app:', 'oci:', 'oci:/nothing-here:', '::', 'a b:', '$(touch x):', '-'])(
    'says nothing, and does not fail, where it knows nothing: %s',
    async (word) => {
      const { code, stdout, stderr } = await bulla(['__complete', 'reference', '--', word], {
        env: { BULLA_HOME: await temporaryDirectory() },
      });
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' });
    },
  );

  it('is not listed', async () => {
    expect((await bulla(['help'])).stdout).not.toContain('__complete');
    expect((await bulla(['completion', 'bash'])).stdout).not.toContain("'__complete')");
  });
});

describe('completion scripts', () => {
  it.each(['bash', 'zsh', 'fish'])('of %s name every command', async (shell) => {
    const { stdout } = await bulla(['completion', shell]);
    for (const name of ['inspect', 'completion', 'registry']) expect(stdout).toContain(name);
  });
});
