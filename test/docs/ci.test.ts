import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { Cli } from '../../src/cli/shell/context.ts';
import { buildProgram } from '../../src/cli/start/run.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): Promise<string> => readFile(new URL(path, root), 'utf8');
const PAGES = ['github-actions.md', 'gitlab.md', 'jenkins.md', 'tekton.md'];

/** Blocks of code of a page in one language. */
const blocks = (page: string, language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    ([, text = '']) => text,
  );

/** Every command line of bulla on a page, in its order, as words. */
function commandLines(page: string): readonly (readonly string[])[] {
  const scripts = blocks(page, 'groovy').flatMap((text) =>
    [...text.matchAll(/sh '(.*)'/g)].map(([, line = '']) => [line]),
  );
  const yaml = blocks(page, 'yaml').flatMap((text) =>
    parseAllDocuments(text).flatMap((document) => {
      expect(document.errors, text).toEqual([]);
      return scriptsIn(document.toJS());
    }),
  );
  return [...yaml, ...scripts].flatMap((lines) =>
    lines.flatMap((line) => (typeof line === 'string' ? inShell(line) : [line])),
  );
}

type Script = readonly (string | readonly string[])[];

/** Scripts below a value: `run` and `script` have lines for a shell, `args` has words, and the action has its inputs. */
function scriptsIn(value: unknown): Script[] {
  if (Array.isArray(value)) return value.flatMap(scriptsIn);
  if (value === null || typeof value !== 'object') return [];
  const {
    run,
    args,
    with: inputs,
  } = value as { run?: string; args?: string[]; with?: Record<string, string> };
  const own: Script[] = [];
  if (run !== undefined) own.push(run.split('\n'));
  if (args !== undefined) own.push([args.map(String)]);
  if (inputs?.['verify'] !== undefined)
    own.push([`bulla verify ${inputs['verify']} ${inputs['verify-flags'] ?? ''}`]);
  for (const [name, inner] of Object.entries(value))
    if (/^(?:before_)?script$/.test(name)) own.push(inner as string[]);
    else own.push(...scriptsIn(inner));
  return own;
}

/** The words of bulla in a line of a shell. */
function inShell(line: string): string[][] {
  return [...line.matchAll(/(?:^|[;&|(] *)bulla ((?:"[^"]*"|'[^']*'|[^|;&<>"'])+)/g)].map(([, words = '']) =>
    [...words.matchAll(/(?:"([^"]*)"|'([^']*)'|(\S+))/g)].map(
      ([, double, single, plain]) => double ?? single ?? plain ?? '',
    ),
  );
}

/** Parses a command line as bulla does, and does not run it. @throws CommanderError */
async function parseOnly(words: readonly string[]): Promise<void> {
  const stdin = process.stdin;
  const nowhere = { write: () => true };
  const io = {
    stdin,
    stdout: nowhere,
    stderr: nowhere,
    env: {},
    cwd: '/',
    home: '/',
    now: () => new Date(0),
  };
  const program = await buildProgram(words, new Cli({ ...io, signal: new AbortController().signal }));
  let ran = false;
  const every = (command: Command): void => {
    command.action(() => {
      ran = true;
    });
    command.commands.forEach(every);
  };
  program.commands.forEach(every);
  await program.parseAsync([...words], { from: 'user' });
  expect(ran, words.join(' ')).toBe(true);
}

describe.each(PAGES)('docs/ci/%s', (name) => {
  it('has commands and flags that there are, for each way to sign, and to verify', async () => {
    const lines = commandLines(await read(`docs/ci/${name}`));
    for (const words of lines) await expect(parseOnly(words), words.join(' ')).resolves.toBeUndefined();
    const all = lines.map((words) => words.join(' '));
    for (const part of ['--keyless', '--name-only', 'sign', '--k8s deploy.yaml --policy policy.yaml --write'])
      expect(
        all.some((line) => line.includes(part)),
        part,
      ).toBe(true);
    expect(await read(`docs/ci/${name}`)).toContain('awskms:///alias/release');
  });

  it('signs, stages and verifies in a registry, as it says', async () => {
    const cwd = await temporaryDirectory();
    const server = await serveRegistry({ dir: join(cwd, 'registry') });
    onTestFinished(() => server.close());
    const repository = `${server.address}/team/app`;
    const target = openRepository(parseReference(repository) as RegistryReference);
    onTestFinished(() => target.close());
    const { digest } = (await pushImage(target, 'app', 'v1')).descriptor;
    const [admin, job] = [join(cwd, 'admin'), join(cwd, 'job')];
    await storePlainKeys(admin, 'publisher', 'root', 'online', 'release');
    const asAdmin = async (...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await bulla(words, { cwd, env: { BULLA_HOME: admin } });
      expect(code, `${words.join(' ')}\n${stderr}`).toBe(0);
      return stdout;
    };
    const made = JSON.parse(await asAdmin('init', repository, '-o', 'json')) as {
      keys: { root: { keys: [{ keyid: string }] } };
    };
    const rootKeyId = made.keys.root.keys[0].keyid;
    await asAdmin('key', 'export', 'release', '--public', '--out', 'release.pub');
    const rule = `{ scope: ${server.address}/*, signatures: [{ keys: [release.pub] }], trust: {} }`;
    await writeFile(join(cwd, 'policy.yaml'), `version: 1\nrules: [${rule}]\n`);
    const pod = `apiVersion: v1\nkind: Pod\nspec: { containers: [{ name: app, image: ${repository}:v1 }] }\n`;
    await writeFile(join(cwd, 'deploy.yaml'), pod);
    const key = async (of: string): Promise<string> => await readFile(join(admin, `keys/${of}.key`), 'utf8');
    const env = {
      ...{ BULLA_HOME: job, RELEASE_KEY: await key('release'), PUBLISHER_KEY: await key('publisher') },
    };
    const values: Readonly<Record<string, string>> = {
      ...{ IMAGE: `${repository}@${digest}`, DIGEST: digest, REPOSITORY: repository, ROOT_KEY_ID: rootKeyId },
      ...{ CI_REGISTRY_IMAGE: repository, CI_COMMIT_TAG: 'v1' },
      ...{
        RELEASE_KEY_FILE: join(admin, 'keys/release.key'),
        PUBLISHER_KEY_FILE: join(admin, 'keys/publisher.key'),
      },
      ...{ 'params.image': `${repository}@${digest}`, 'params.repository': repository, 'params.tag': 'v1' },
      'params.root-key-id': rootKeyId,
    };
    let [signed, staged, verified] = [0, 0, 0];
    for (const words of commandLines(await read(`docs/ci/${name}`))) {
      // What needs services of others is tried with them elsewhere.
      if (words[0] === 'login' || words.some((word) => /^--keyless$|^--certificate-|kms:|vault:/.test(word)))
        continue;
      const real = words.map((word) =>
        word
          .replace(/\$\(?([\w.-]+)\)?/g, (_, variable: string) => values[variable] ?? '?')
          .replace(/^5m$/, '0s'),
      );
      if (real[0] === 'verify' && name === 'tekton.md')
        await bulla(['pin', repository, '--root-key-id', rootKeyId], { env });
      const { code, stderr } = await bulla(real, { cwd, env });
      const stages = real.includes('--name-only');
      expect(code, `${real.join(' ')}\n${stderr}`).toBe(stages ? 31 : 0);
      if (stages) await asAdmin('resign', repository);
      if (real[0] === 'sign') stages ? staged++ : signed++;
      if (real[0] === 'verify') verified++;
    }
    expect({ signed, staged, verified }).toEqual({ signed: 1, staged: 1, verified: 1 });
    expect(await readFile(join(cwd, 'deploy.yaml'), 'utf8')).toMatch(/image: "?\S+@sha256:[0-9a-f]{64}/);
  }, 120_000);
});

describe('docs/ci', () => {
  it('links to what is there', async () => {
    const names = await readdir(new URL('docs/ci/', root));
    expect(names.sort()).toEqual(['README.md', ...PAGES].sort());
    for (const name of names)
      for (const [, link = ''] of (await read(`docs/ci/${name}`)).matchAll(/\]\((?!https?:)([^)#]+)/g))
        await expect(readFile(new URL(`docs/ci/${link}`, root)), `${name}: ${link}`).resolves.toBeDefined();
  });

  it('gives the action inputs that it has', async () => {
    const { inputs } = parse(await read('action.yml')) as { inputs: object };
    const given: object[] = [];
    const find = (value: unknown): void => {
      if (value === null || typeof value !== 'object') return;
      const { uses, with: own } = value as { uses?: string; with?: object };
      if (uses?.startsWith('OWNER/bulla@') === true && own !== undefined) given.push(own);
      Object.values(value).forEach(find);
    };
    for (const page of ['docs/ci/github-actions.md', 'docs/install.md'])
      for (const block of blocks(await read(page), 'yaml')) find(parse(block));
    expect(given).toHaveLength(3);
    for (const one of given) {
      expect(Object.keys(inputs)).toEqual(expect.arrayContaining(Object.keys(one)));
      expect(Object.keys(one)).toEqual(expect.arrayContaining(['version', 'sha256']));
    }
  });
});
