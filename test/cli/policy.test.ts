import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signImage } from '../../src/actions/sign/signature.ts';
import { algorithm } from '../../src/crypto/algorithm.ts';
import { publicKeyOf, publicKeyPem } from '../../src/crypto/public-key.ts';
import { createSigner } from '../../src/crypto/signer.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRepository } from '../../src/registry/client.ts';
import { NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { bulla, type CliResult } from '../support/cli.ts';
import { pushImage, tagOf } from '../support/content.ts';
import { type FaultyRegistry, startRegistry } from '../support/registry/server.ts';
import { changeHead, setting } from '../support/trust/changing.ts';
import { newCollection, pushHead } from '../support/trust/collection.ts';
import { NOW, ROOT } from '../support/tuf/editing.ts';
import { poolKey } from '../support/tuf/keys.ts';

let registry: FaultyRegistry;
let place: { readonly name: string; readonly target: Repository; readonly home: string; readonly run: Run };
type Repository = ReturnType<typeof openRepository>;
type Run = (argv: readonly string[]) => Promise<CliResult>;
const digests = new Map<string, string>();
const keyId = poolKey(ROOT).key.keyid;

beforeAll(async () => {
  registry = await startRegistry();
  const name = `${registry.host}/team/app`;
  const home = await mkdtemp(join(tmpdir(), 'bulla-policy-'));
  place = {
    name,
    home,
    target: openRepository(parseReference(name) as RegistryReference),
    run: (argv) => bulla(argv, { now: NOW, env: { BULLA_HOME: home } }),
  };
  await pushHead(place.target, await newCollection(name));
  for (const tag of ['named', 'signed', 'both', 'twice', 'neither']) {
    const image = await pushImage(place.target, tag, tag);
    const { digest, size } = image.descriptor;
    digests.set(tag, digest);
    const set = new Map([[tag, { length: size, sha256: digest.slice(7) }]]);
    if (tag === 'named' || tag === 'both')
      await changeHead(place.target, (edit) => edit.apply(NAMES_ROLE, [{ ...setting([]), set }]));
    const keys = tag === 'twice' ? [8, 9] : tag === 'signed' || tag === 'both' ? [8] : [];
    for (const key of keys) {
      const signer = createSigner(poolKey(key).privateKey, algorithm('ES256'));
      await signImage(
        place.target,
        { tag: tagOf(tag) },
        { name: tag, signer, now: NOW, agent: 'bulla/test' },
      );
    }
  }
  await mkdir(join(place.home, 'policies'));
  for (const key of [8, 9])
    await writeFile(
      join(place.home, `policies/${key}.pub`),
      publicKeyPem(publicKeyOf(poolKey(key).privateKey)),
    );
  // Signed as a name, and pushed again since.
  const { digest, size } = (await pushImage(place.target, 'drifted', 'drifted')).descriptor;
  const set = new Map([['drifted', { length: size, sha256: digest.slice(7) }]]);
  await changeHead(place.target, (edit) => edit.apply(NAMES_ROLE, [{ ...setting([]), set }]));
  await pushImage(place.target, 'another', 'drifted');
});
afterAll(async () => {
  await place.target.close();
  await registry.close();
  await rm(place.home, { recursive: true, force: true });
});

/** Verifies an image under a policy whose one rule is for its repository. */
async function under(rule: string, tag: string, ...flags: string[]) {
  const file = join(place.home, 'policies/policy.yaml');
  await writeFile(file, `version: 1\nrules:\n  - scope: ${place.name}\n    ${rule}\n`);
  return await place.run(['verify', `${place.name}:${tag}`, '--policy', file, ...flags]);
}

const name = `trust: { root: { keyIds: [${keyId}] } }`;
const key = (...numbers: number[]): string =>
  `keys: [${numbers.map((number) => `${number}.pub`).join(', ')}]`;

describe('bulla verify --policy', () => {
  it.each([
    ['a name', name, 'named', 0],
    ['a name that is not signed', name, 'signed', 23],
    ['another root key', `trust: { root: { keyIds: [${'f'.repeat(64)}] } }`, 'named', 22],
    [
      'a signer that is not there',
      `trust: { root: { keyIds: [${keyId}] }, signers: { all: [names, ci] } }`,
      'named',
      23,
    ],
    [
      'any of two signers',
      `trust: { root: { keyIds: [${keyId}] }, signers: { any: [ci, names] } }`,
      'named',
      0,
    ],
    [
      'two of two signers',
      `trust: { root: { keyIds: [${keyId}] }, signers: { threshold: 2, of: [ci, names] } }`,
      'named',
      23,
    ],
    ['a signature', `signatures: [{ ${key(8)} }]`, 'signed', 0],
    ['a signature by another key', `signatures: [{ ${key(9)} }]`, 'signed', 12],
    ['no signature', `signatures: [{ ${key(8)} }]`, 'neither', 10],
    ['a name and a signature', `${name}\n    signatures: [{ ${key(8)} }]`, 'both', 0],
    ['a name without its signature', `${name}\n    signatures: [{ ${key(8)} }]`, 'named', 10],
    ['a signature without its name', `${name}\n    signatures: [{ ${key(8)} }]`, 'signed', 23],
    ['one of two keys', `signatures: [{ ${key(8, 9)} }]`, 'signed', 0],
    ['two signatures', `signatures: [{ ${key(8)} }, { ${key(9)} }]`, 'twice', 0],
    ['one signature of two', `signatures: [{ ${key(8)} }, { ${key(9)} }]`, 'signed', 12],
    ['one signature of two, the other way round', `signatures: [{ ${key(9)} }, { ${key(8)} }]`, 'signed', 12],
    ['a threshold', `signatures: [{ threshold: 2, ${key(8, 9)} }]`, 'twice', 0],
    ['a threshold that is not met', `signatures: [{ threshold: 2, ${key(8, 9)} }]`, 'signed', 12],
    ['a threshold that cannot be met', `signatures: [{ threshold: 2, ${key(8)} }]`, 'signed', 2],
    ['a denial', 'deny: under investigation', 'both', 12],
    ['an allowance', 'allow: built here', 'neither', 0],
    ['an audit of what is refused', `mode: audit\n    signatures: [{ ${key(8)} }]`, 'neither', 0],
    ['an audit of what is denied', 'mode: audit\n    deny: x', 'neither', 0],
    ['an audit of an image that is not there', `mode: audit\n    signatures: [{ ${key(8)} }]`, 'gone', 11],
    ['a key that is not there', `signatures: [{ ${key(7)} }]`, 'signed', 11],
  ])('%s', async (_, rule, tag, code) => {
    const { stdout, stderr, code: found } = await under(rule, tag);
    expect(found, stderr).toBe(code);
    expect(stdout).toBe(code === 0 ? `${place.name}@${digests.get(tag)}\n` : '');
  });

  it.each([
    ['keys', `signatures: [{ ${key(9)} }]`, 'signed'],
    ['identities', `signatures: [{ threshold: 2, ${key(8, 9)} }, { ${key(9)} }]`, 'signed'],
    ['purposes', `signatures: [{ ${key(8)}, purposes: [https://example.com/scanned/v1] }]`, 'signed'],
    ['keys', `${name}\n    signatures: [{ ${key(9)} }]`, 'both'],
    ['drift: reject', `trust: { root: { keyIds: [${keyId}] }, drift: reject }`, 'drifted'],
  ])('hints at %s in the rule, and at no flag that a policy excludes', async (member, rule, tag) => {
    const { stderr } = await under(rule, tag);
    expect(stderr).toContain(`"${member}" in the rule`);
    expect(stderr).not.toMatch(/--(?:key|ca|certificate-\w+|purpose|signer|drift)\b/);
  });

  it('refuses what no rule is about, and says which scope is missing', async () => {
    const file = join(place.home, 'other.yaml');
    await writeFile(file, 'version: 1\nrules: [{ scope: other.example/*, allow: x }]');
    const refused = await place.run(['verify', `${place.name}:both`, '--policy', file, '-o', 'json']);
    expect(refused.code).toBe(12);
    expect(refused.json()).toMatchObject({
      ok: false,
      code: 'policy-denied',
      details: { place: place.name },
    });
  });

  it('says that nothing was verified, in words and in JSON', async () => {
    const allowed = await under('allow: built here', 'neither');
    expect(allowed.stderr).toMatch(/not verified: .* allows it: built here/);
    const audited = await under(`mode: audit\n    signatures: [{ ${key(8)} }]`, 'neither', '-o', 'json');
    expect(audited.json()).toMatchObject({
      policy: { mode: 'audit', decision: 'verify', verified: false },
      refusal: { code: 'unsigned' },
    });
  });

  it.each([
    ['--key', '8.pub'],
    ['--signer', 'ci'],
    ['--tofu'],
    ['--no-name'],
    ['--no-drift'],
    ['--notary', 'auto'],
    ['--certificate-oidc-issuer', 'https://accounts.example.com'],
  ])('takes no other demand: %s', async (...flags) => {
    expect(await under(`signatures: [{ ${key(8)} }]`, 'signed', ...flags)).toMatchObject({
      code: 2,
      stdout: '',
    });
  });

  it('is an error, whatever the mode, where nothing can be known', async () => {
    const audit = `mode: audit\n    signatures: [{ ${key(8)} }]`;
    await under(audit, 'signed');
    const file = join(place.home, 'policies/policy.yaml');
    const unreachable = ['verify', '127.0.0.1:1/team/app:v1', '--policy', file];
    await writeFile(
      file,
      `version: 1\nrules: [{ scope: "127.0.0.1:1/*", ${audit.replace('\n    ', ', ')} }]`,
    );
    expect(await place.run(unreachable)).toMatchObject({ code: 3, stdout: '' });
  });
});

describe('bulla policy', () => {
  it('check lists the rules, and every mistake with its line', async () => {
    const file = join(place.home, 'policies/checked.yaml');
    await writeFile(file, `version: 1\nrules:\n  - { scope: r.example/*, signatures: [{ ${key(8)} }] }\n`);
    expect((await place.run(['policy', 'check', file, '-o', 'json'])).json()).toMatchObject({
      rules: [{ scope: 'r.example/*', mode: 'enforce', decision: 'verify' }],
    });
    await writeFile(file, 'version: 1\nrules:\n  - { scope: r.example/* }\n  - { scope: "a*", allow: x }\n');
    const wrong = await place.run(['policy', 'check', file]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/3:5: .*4:7: /s);
  });

  it('decides by included files, and says in which of them a rule stands', async () => {
    await mkdir(join(place.home, 'policies/more'), { recursive: true });
    const top = join(place.home, 'policies/including.yaml');
    const included = join(place.home, 'policies/more/team.yaml');
    await writeFile(
      top,
      `version: 1\ninclude: [more/team.yaml]\nrules: [{ scope: ${registry.host}/*, deny: not yet }]`,
    );
    await writeFile(
      included,
      `version: 1\nrules: [{ scope: ${place.name}, signatures: [{ keys: [../8.pub] }] }]`,
    );
    const explained = await place.run(['policy', 'explain', `${place.name}:signed`, '--policy', top]);
    expect(explained).toMatchObject({ code: 0, stdout: `${place.name}@${digests.get('signed')}\n` });
    expect(explained.stderr).toMatch(/\(enforce, in .*more\/team\.yaml\)/);
    expect((await place.run(['policy', 'check', top, '-o', 'json'])).json()).toMatchObject({
      files: [top, expect.stringContaining('more/team.yaml')],
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      rules: [{ decision: 'deny' }, { decision: 'verify', file: expect.stringContaining('team.yaml') }],
    });
    await writeFile(included, 'version: 1\nmode: audit\nrules: []');
    const refused = await place.run(['verify', `${place.name}:signed`, '--policy', top]);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toMatch(/team\.yaml is not a valid policy: 2:1: mode holds for a whole policy/);
  });

  it('explain shows the rule, its demands, and why signatures do not count', async () => {
    const file = join(place.home, 'policies/explained.yaml');
    await writeFile(file, `version: 1\nrules: [{ scope: ${place.name}, signatures: [{ ${key(9)} }] }]`);
    const explain = (tag: string) =>
      place.run(['policy', 'explain', `${place.name}:${tag}`, '--policy', file]);
    const refused = await explain('signed');
    expect(refused.code).toBe(12);
    expect(refused.stderr).toMatch(/falls under the rule for/);
    expect(refused.stderr).toMatch(/a signature by key/);
    expect(refused.stderr).toMatch(/not counted: .*not by a trusted key/);
    expect(await explain('twice')).toMatchObject({ code: 0 });
  });

  it('test compares a table of outcomes', async () => {
    const policy = join(place.home, 'policies/tested.yaml');
    await writeFile(policy, `version: 1\nrules: [{ scope: ${place.name}, signatures: [{ ${key(8)} }] }]`);
    const table = join(place.home, 'table.txt');
    const lines = [
      `${place.name}:signed verified`,
      '# nothing',
      `${place.name}:neither unsigned`,
      'r.example/x:y policy-denied',
    ];
    await writeFile(table, lines.join('\n'));
    expect(await place.run(['policy', 'test', table, '--policy', policy])).toMatchObject({ code: 0 });
    await writeFile(table, `${lines[0]?.replace('verified', 'unsigned')}\n`);
    const wrong = await place.run(['policy', 'test', table, '--policy', policy]);
    expect(wrong).toMatchObject({ code: 12 });
    expect(wrong.stderr).toContain('expected unsigned, found verified');
  });

  it('import prints a policy that check accepts, with the differences as comments', async () => {
    const source = join(place.home, 'policy.json');
    const demand = { type: 'sigstoreSigned', keyPath: join(place.home, 'policies/8.pub') };
    const docker = { [registry.host]: [demand], [`${place.name}:v1`]: [{ type: 'reject' }] };
    await writeFile(source, JSON.stringify({ default: [{ type: 'reject' }], transports: { docker } }));
    const imported = await place.run(['policy', 'import', source]);
    expect(imported).toMatchObject({ code: 0 });
    expect(imported.stdout).toContain(
      `# ${place.name}: the scope ${place.name}:v1 is finer than a repository`,
    );
    const file = join(place.home, 'imported.yaml');
    await writeFile(file, imported.stdout);
    expect(await place.run(['policy', 'check', file])).toMatchObject({ code: 0 });
    const nothing = await place.run(['policy', 'import', join(place.home, 'policies/8.pub')]);
    expect(nothing).toMatchObject({ code: 2, stderr: expect.stringContaining('[policy-invalid]') });
  });
});
