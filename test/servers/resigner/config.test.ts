import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseListenAddress } from '../../../src/servers/listener.ts';
import { readResignerConfig } from '../../../src/servers/resigner/config.ts';
import { temporaryDirectory } from '../../support/cli.ts';
import { codeOf } from '../../support/registry/open.ts';

const ID = 'a'.repeat(64);

async function written(text: string, files: Readonly<Record<string, string>> = {}): Promise<string> {
  const dir = await temporaryDirectory();
  for (const [name, content] of Object.entries(files)) await writeFile(join(dir, name), content);
  await writeFile(join(dir, 'resigner.yaml'), text);
  return join(dir, 'resigner.yaml');
}

const entry = (more = '') =>
  `collections:\n- repositories: registry.example.com/team/*\n  rootKeyIds: ["${ID}"]\n${more}`;

describe('the configuration of the re-signer', () => {
  it('is read with the files that it names, which are beside it', async () => {
    const path = await written(
      `
collections:
- repositories: [registry.example.com/a, registry.example.com/b]
  rootFile: root.json
- repositories: registry.example.com/team/*
  rootKeyIds: [${ID}]
keys: [old.pem, env://ONLINE]
state: {directory: state}
listen: 0.0.0.0:8089
notify: {secretFile: secret}
schedule: {renewAt: 0.4, jitter: 0.05, budget: 30s, concurrency: 4}
alarms: {webhook: "https://alerts.example.com/x", headersFile: headers, expiringDays: 60}
lease: {name: resigner}
`,
      { 'root.json': '{}', secret: 'sixteen-letters-or-more\n', headers: 'Authorization: Bearer x\n' },
    );
    const config = await readResignerConfig(path);
    expect(config.pins.map(({ scope, trust }) => [scope, trust.kind])).toEqual([
      ['registry.example.com/a', 'root'],
      ['registry.example.com/b', 'root'],
      ['registry.example.com/team/*', 'key-ids'],
    ]);
    expect(config).toMatchObject({
      keys: ['old.pem', 'env://ONLINE'],
      state: { kind: 'directory', path: join(path, '..', 'state') },
      timing: { pollMs: 60_000, renewAt: 0.4, jitter: 0.05, budgetMs: 30_000 },
      concurrency: 4,
      notifySecret: 'sixteen-letters-or-more',
      listEveryMs: 600_000,
      alarms: { expiringDays: 60 },
      webhook: { headers: { authorization: 'Bearer x' } },
      lease: { name: 'resigner', durationMs: 15_000 },
    });
    expect(config.files).toHaveLength(4);
  });

  it('looks every two seconds where nobody tells', async () => {
    const config = await readResignerConfig(await written(entry()));
    expect(config).toMatchObject({ timing: { pollMs: 2_000 }, listEveryMs: 0, state: { kind: 'none' } });
  });

  it.each([
    { what: 'nothing', text: '' },
    { what: 'what is no YAML', text: 'collections: [' },
    { what: 'a member that there is not', text: entry('colections: []') },
    {
      what: 'a repository twice',
      text: entry(`- repositories: registry.example.com/team/*\n  rootKeyIds: ["${ID}"]`),
    },
    { what: 'nobody to believe', text: 'collections: [{repositories: registry.example.com/a}]' },
    { what: 'two to believe', text: entry('  caFile: ca.pem') },
    {
      what: 'a root file for many',
      text: 'collections: [{repositories: registry.example.com/*, rootFile: r}]',
      files: { r: '{}' },
    },
    {
      what: 'a key id that is none',
      text: 'collections: [{repositories: r.example.com/a, rootKeyIds: [abc]}]',
    },
    { what: 'a repository that is none', text: `collections: [{repositories: "**", rootKeyIds: ["${ID}"]}]` },
    { what: 'a time that is none', text: entry('schedule: {poll: soon}') },
    { what: 'more jitter than time', text: entry('schedule: {renewAt: 0.1, jitter: 0.5}') },
    { what: 'key and keys', text: entry('key: a\nkeys: [b]') },
    { what: 'two places of state', text: entry('state: {directory: a, repository: r.example.com/b}') },
    { what: 'a webhook that is no web address', text: entry('alarms: {webhook: "file:///etc/passwd"}') },
    { what: 'a short secret', text: entry('notify: {secretFile: s}'), files: { s: 'short' } },
    { what: 'an alias bomb', text: `a: &a [1]\nb: *a\n${entry()}` },
  ])('is refused with $what', async ({ text, files }) => {
    expect(await codeOf(readResignerConfig(await written(text, files ?? {})))).toBe('config-invalid');
  });

  it('says which file is missing', async () => {
    expect(await codeOf(readResignerConfig(await written(entry('notify: {secretFile: none}'))))).toBe(
      'not-found',
    );
  });

  it.each([
    ['127.0.0.1:8089', '127.0.0.1', 8089],
    ['[::1]:1', '::1', 1],
    [':80', '127.0.0.1', 80],
  ])('listens on %s', (text, host, port) => {
    expect(parseListenAddress(text, 'x')).toEqual({ host, port });
  });

  it.each(['8089', '127.0.0.1', 'a:b:c', '1.2.3.4:99999'])('does not listen on %s', (text) => {
    expect(() => parseListenAddress(text, 'x')).toThrow(expect.objectContaining({ code: 'config-invalid' }));
  });
});
