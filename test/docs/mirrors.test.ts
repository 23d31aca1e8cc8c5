import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openRepository } from '../../src/registry/client.ts';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';

const page = new URL('../../docs/mirrors.md', import.meta.url);

/** Words of a command line, of which some are in single quotes. */
function wordsOf(line: string): readonly string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
}

it('shows commands that work, in their order', async () => {
  const cwd = await temporaryDirectory();
  const [source, mirror] = [
    await serveRegistry({ dir: join(cwd, 'source') }),
    await serveRegistry({ dir: join(cwd, 'mirror') }),
  ];
  onTestFinished(async () => {
    await source.close();
    await mirror.close();
  });
  const env = {
    BULLA_HOME: join(cwd, 'home'),
    BULLA_PASSPHRASE: '',
    MIRROR_PASSWORD: 'none is asked for',
  };
  const run = async (...argv: string[]) => {
    const done = await bulla(argv, { cwd, env });
    expect(done, `${argv.join(' ')}\n${done.stderr}`).toMatchObject({ code: 0 });
    return done;
  };
  for (const [repository, tags] of [
    ['team/app', ['v1.0.0', 'v1.1.0', 'v1.2.0', 'v2.0.0']],
    ['base/alpine', ['3']],
  ] as const) {
    const target = openRepository({ registry: source.address, repository });
    for (const tag of tags) await pushImage(target, `${repository} ${tag}`, tag);
    await target.close();
  }
  const app = `${source.address}/team/app`;
  const made = await run('init', app, '-o', 'json');
  const rootKeyId = /"root"[\s\S]*?([0-9a-f]{64})/.exec(made.stdout)?.[1] ?? '';
  await run('sign', `${app}:v1.1.0`, '--name-only');
  const placed = (await readFile(page, 'utf8'))
    .replaceAll('registry.example.com', source.address)
    .replaceAll('mirror.example.com', mirror.address)
    .replaceAll('ROOT_KEY_ID', rootKeyId);
  await writeFile(join(cwd, 'sync.yaml'), /```yaml\n([\s\S]*?)```/.exec(placed)?.[1] ?? '', { mode: 0o600 });
  const commands = [...placed.matchAll(/^\$ bulla (.+)$/gm)].map(([, line = '']) => wordsOf(line));
  expect(commands.length).toBeGreaterThan(5);
  for (const words of commands) await run(...words);
  const there = async (repository: string): Promise<readonly string[]> => {
    const target = openRepository({ registry: mirror.address, repository });
    const tags = await target.listTags();
    await target.close();
    return [...tags].filter((tag) => !tag.startsWith('_trust')).sort();
  };
  expect(await there('versions')).toEqual(['v1.2.0', 'v2.0.0']);
  expect(await there('copies/app')).toEqual(['v1.0.0', 'v1.1.0', 'v1.2.0', 'v2.0.0']);
  expect(await there('base/alpine')).toEqual(['3']);
}, 60_000);
