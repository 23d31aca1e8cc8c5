import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { serveRegistry } from '../../src/servers/registry/server.ts';
import { bulla, type CliResult, temporaryDirectory } from '../support/cli.ts';
import { storePlainKeys } from '../support/plain-keys.ts';

it('docs/ceremony.md has commands that all work, in its order, on the machines that the prompts name', async () => {
  const page = await readFile(new URL('../../docs/ceremony.md', import.meta.url), 'utf8');
  const lines = [...page.matchAll(/^(admin|vault)\$ (bulla .+)$/gm)];
  expect(lines.length).toBeGreaterThan(18);
  const cwd = await temporaryDirectory();
  const usb = join(cwd, 'usb');
  await mkdir(usb);
  const server = await serveRegistry({ dir: join(cwd, 'registry') });
  onTestFinished(() => server.close());
  // Tokens are played by files here, and really in the interop suite.
  const tokens = ['root-a', 'root-b', 'root-c', 'root-d'];
  await storePlainKeys(join(cwd, 'vault'), ...tokens);
  for (const name of tokens)
    await writeFile(join(usb, `${name}.pub`), await readFile(join(cwd, `vault/keys/${name}.pub`)));
  const run = async (machine: string, line: string, stdin: string): Promise<CliResult> =>
    await bulla(
      [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '').slice(1),
      {
        cwd: usb,
        env: { BULLA_HOME: join(cwd, machine), BULLA_PASSPHRASE: 'x' },
        ...(line.includes(' ceremony ') && { typed: true, stdin }),
      },
    );
  const show = async (file: string): Promise<{ change: string; missing: unknown[]; publish: string }> =>
    (await run('vault', `bulla ceremony show ${file} -o json`, '')).json() as never;
  for (const [, machine = '', text = ''] of lines) {
    const line = text
      .replaceAll('registry.example.com', server.address)
      .replaceAll(/--root-key-id \S+/g, '')
      .replace(/^(bulla init .*)$/, `$1 ${/--import-signed/.test(text) ? IDS : ''}`);
    if (line.includes('key import') || (line.includes('key export') && machine === 'vault')) continue;
    const file = /ceremony sign (\S+)/.exec(line)?.[1];
    let typed = 'Ada\n00000000\n00000000\n00000000\n';
    if (file !== undefined) {
      const digits = (await show(file)).change.slice(0, 16);
      const people = [...line.matchAll(/--key \S+/g)];
      typed =
        people.length > 0
          ? people.map(() => `Ada\n${digits}\n`).join('')
          : `root-a\nAda\n${digits}\nroot-b\nBob\n${digits}\nroot-a\nAda\n${digits}\n`;
    }
    const { publish } = line.includes('--import-signed root.json')
      ? await show('root.json')
      : { publish: '' };
    const ids = [...publish.matchAll(/--root-key-id \S+/g)].join(' ');
    const { change } = line.includes('CHANGE') ? await show(file ?? '') : { change: '' };
    const result = await run(machine, line.replace(IDS, ids).replace('CHANGE', change), typed);
    // The first attempt is cut off; the rehearsal finds everything signed.
    const expected = line.includes('ceremony begin') ? 130 : line.includes('--yes') ? 12 : 0;
    expect(result.code, `${line}\n${result.stdout}${result.stderr}`).toBe(expected);
  }
  expect(await run('admin', `bulla status ${server.address}/team/app`, '')).toMatchObject({ code: 0 });
}, 60_000);

const IDS = '(ids)';
