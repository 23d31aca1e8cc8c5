import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Server, startServer } from '../support/process.ts';
import { BULLA, bulla, cleanEnvironment, havePeers, ok, peer, run } from './peers.ts';
import { type Registry, startDistribution } from './registries.ts';

const LAYOUT = new URL('../../testdata/demo-image/layout', import.meta.url).pathname;
const MODULE = '/usr/lib/softhsm/libsofthsm2.so';
const PIN = '583104';

const needed = havePeers(
  'cosign',
  'docker-registry',
  'bao',
  'local-kms',
  'pkcs11js',
  'softhsm2-util',
  'ssh-agent',
);

describe.runIf(needed)('keys that are kept elsewhere', () => {
  let directory: string;
  let env: Record<string, string>;
  let registry: Registry;
  const servers: Server[] = [];
  const pids: number[] = [];
  let repositories = 0;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'bulla-elsewhere-'));
    registry = await startDistribution('docker-registry');
    env = {
      HOME: directory,
      XDG_CONFIG_HOME: join(directory, '.config'),
      BULLA_HOME: join(directory, 'bulla'),
      BULLA_PLAIN_HTTP: '1',
    };
    await Promise.all([startVault(), startAwsKms(), startToken(), startAgent(), writePlugin()]);
  }, 60_000);
  afterAll(async () => {
    for (const pid of pids) process.kill(pid);
    await Promise.all([registry, ...servers].map((server) => server?.stop()));
    rmSync(directory, { recursive: true, force: true });
  });

  async function startVault(): Promise<void> {
    const args = (port: number): string[] => [
      ...['server', '-dev', '-dev-no-store-token', '-dev-root-token-id=of-a-test'],
      `-dev-listen-address=127.0.0.1:${port}`,
    ];
    const server = await startServer({
      file: peer('bao'),
      args,
      env: cleanEnvironment(),
      answers: '/v1/sys/health',
    });
    servers.push(server);
    Object.assign(env, { BAO_ADDR: `http://${server.host}`, BAO_TOKEN: 'of-a-test' });
    await ok(peer('bao'), ['secrets', 'enable', 'transit'], { env });
  }

  async function startAwsKms(): Promise<void> {
    const file = peer('local-kms');
    const server = await startServer({
      file: '/bin/sh',
      args: (port) => ['-c', `PORT=${port} KMS_REGION=eu-central-1 DATA_PATH=${directory}/kms exec ${file}`],
      env: cleanEnvironment(),
      answers: '/',
    });
    servers.push(server);
    Object.assign(env, {
      ...{ AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'of-a-test', AWS_SECRET_ACCESS_KEY: 'of-a-test' },
      AWS_ENDPOINT_URL_KMS: `http://${server.host}`,
    });
  }

  async function startToken(): Promise<void> {
    const tokens = join(directory, 'tokens');
    mkdirSync(tokens);
    const config = join(directory, 'softhsm2.conf');
    writeFileSync(
      config,
      `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`,
    );
    const NODE_PATH = (await ok(peer('pkcs11js'), [])).trim();
    Object.assign(env, {
      SOFTHSM2_CONF: config,
      BULLA_PKCS11_MODULE: MODULE,
      BULLA_PKCS11_PIN: PIN,
      NODE_PATH,
    });
    const init = ['--init-token', '--free', '--label', 'a token', '--so-pin', '12345678', '--pin', PIN];
    await ok(peer('softhsm2-util'), init, { env });
  }

  async function startAgent(): Promise<void> {
    const socket = join(directory, 'agent');
    const agent = spawn(peer('ssh-agent'), ['-D', '-a', socket], { stdio: 'ignore' });
    pids.push(agent.pid as number);
    env['SSH_AUTH_SOCK'] = socket;
    while (!existsSync(socket)) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const type of ['ed25519', 'ecdsa', 'rsa']) {
      await ok('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', `me ${type}`, '-f', join(directory, type)]);
      await ok('ssh-add', ['-q', join(directory, type)], { env });
    }
  }

  /** A plug-in by the protocol of sigstore: cosign and bulla use the same program. */
  function writePlugin(): void {
    const bin = join(directory, 'bin');
    mkdirSync(bin);
    const program = join(bin, 'sigstore-kms-testing');
    writeFileSync(
      program,
      `#!${process.execPath}
const { createPublicKey, createPrivateKey, generateKeyPairSync, sign } = require('node:crypto');
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
if (process.env.BULLA_PKCS11_PIN || process.env.COSIGN_PASSWORD) process.exit(9);
const { initOptions: { keyResourceID: path }, methodName } = JSON.parse(process.argv[3]);
if (!existsSync(path))
  writeFileSync(path, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }));
const key = createPrivateKey(readFileSync(path));
const base64 = (data) => Buffer.from(data).toString('base64');
if (process.env.TESTING_SLOW && methodName === 'signMessage')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 120_000);
const answers = {
  publicKey: () => ({ publicKey: { publicKeyPEM: base64(createPublicKey(key).export({ type: 'spki', format: 'pem' })) } }),
  signMessage: () => ({ signMessage: { signature: base64(sign('sha256', readFileSync(0), key)) } }),
  supportedAlgorithms: () => ({ supportedAlgorithms: { supportedAlgorithms: ['ecdsa-p256-sha256'] } }),
  defaultAlgorithm: () => ({ defaultAlgorithm: { defaultAlgorithm: 'ecdsa-p256-sha256' } }),
};
process.stdout.write(JSON.stringify(answers[methodName] ? answers[methodName]() : { errorMessage: 'not known: ' + methodName }));
`,
    );
    chmodSync(program, 0o755);
    env['PATH'] = `${bin}${delimiter}${process.env['PATH']}`;
  }

  /** A plug-in by the contract of Notation, with a key that openssl made. */
  async function writeNotationPlugin(): Promise<void> {
    const plugin = join(directory, '.config/notation/plugins/testing');
    mkdirSync(plugin, { recursive: true });
    const subject = [
      '-subj',
      '/C=DE/ST=Berlin/O=Acme/CN=plugin',
      '-days',
      '2',
      '-keyout',
      'plugin.key',
      '-out',
      'plugin.crt',
    ];
    const profile = [
      '-addext',
      'keyUsage=critical,digitalSignature',
      '-addext',
      'basicConstraints=critical,CA:FALSE',
    ];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    await ok('openssl', ['req', '-x509', ...key, ...subject, ...profile], { cwd: directory, env });
    const program = join(plugin, 'notation-testing');
    writeFileSync(
      program,
      `#!${process.execPath}
const { X509Certificate, sign } = require('node:crypto');
const { readFileSync } = require('node:fs');
const request = JSON.parse(readFileSync(0, 'utf8'));
const whole = request.pluginConfig.whole !== undefined;
if (request.pluginConfig.fail) {
  process.stderr.write(JSON.stringify({ errorCode: 'ACCESS_DENIED', errorMessage: 'not for you' }));
  process.exit(1);
}
const key = { key: readFileSync('${directory}/plugin.key'), dsaEncoding: 'ieee-p1363' };
const chain = [new X509Certificate(readFileSync('${directory}/plugin.crt')).raw.toString('base64')];
const answers = {
  'get-plugin-metadata': () => ({ name: 'testing', version: '1.0.0', supportedContractVersions: ['1.0'], capabilities: [whole ? 'SIGNATURE_GENERATOR.ENVELOPE' : 'SIGNATURE_GENERATOR.RAW'] }),
  'generate-envelope': () => {
    const url = (data) => Buffer.from(data).toString('base64url');
    const header = {
      alg: 'ES256', crit: ['io.cncf.notary.signingScheme'], cty: request.payloadType,
      'io.cncf.notary.signingScheme': 'notary.x509', 'io.cncf.notary.signingTime': new Date().toISOString().slice(0, 19) + 'Z',
    };
    const [protectedHeader, payload] = [url(JSON.stringify(header)), url(Buffer.from(request.payload, 'base64'))];
    const signature = url(sign('sha256', Buffer.from(protectedHeader + '.' + payload), key));
    const envelope = { payload, protected: protectedHeader, header: { x5c: chain, 'io.cncf.notary.signingAgent': 'testing' }, signature };
    return { signatureEnvelope: Buffer.from(JSON.stringify(envelope)).toString('base64'), signatureEnvelopeType: request.signatureEnvelopeType };
  },
  'describe-key': () => ({ keyId: request.keyId, keySpec: 'EC-256' }),
  'generate-signature': () => ({
    keyId: request.keyId,
    signature: sign('sha256', Buffer.from(request.payload, 'base64'), key).toString('base64'),
    signingAlgorithm: 'ECDSA-SHA-256',
    certificateChain: chain,
  }),
};
process.stdout.write(JSON.stringify(answers[process.argv[2]]()));
`,
    );
    chmodSync(program, 0o755);
  }

  it('of a plug-in of Notation sign images, which notation and bulla verify', async () => {
    const image = await newImage();
    await writeNotationPlugin();
    await work('sign', image, '--key', 'notation-plugin:testing/some-key');
    const refused = await failing({}, 'sign', image, '--key', 'notation-plugin:testing/some-key?fail=1');
    expect(refused).toContain('[forbidden]');
    expect(await failing({}, 'sign', image, '--key', 'notation-plugin:other/key')).toContain('[not-found]');
    await work('verify', image, '--ca', 'plugin.crt');
    const other = await newImage();
    await work('sign', other, '--key', 'notation-plugin:testing/some-key?whole=1');
    await work('verify', other, '--ca', 'plugin.crt');
    await trustWithNotation('plugin.crt');
    for (const one of [image, other])
      await ok(peer('notation'), ['verify', '--insecure-registry', one], { cwd: directory, env });
  });

  const work = (...args: string[]): Promise<string> =>
    ok(process.execPath, [BULLA, ...args], { cwd: directory, env });
  const failing = async (more: Readonly<Record<string, string>>, ...args: string[]): Promise<string> => {
    const { status, stderr } = await bulla(args, { cwd: directory, env: { ...env, ...more } });
    expect(status).not.toBe(0);
    return stderr;
  };
  const newImage = async (): Promise<string> => {
    const image = `${registry.host}/team/app${++repositories}:v1`;
    await work('push', `oci:${LAYOUT}`, image);
    return image;
  };

  /** Stock notation trusts this certificate alone. */
  async function trustWithNotation(certificate: string): Promise<void> {
    const config = join(directory, '.config/notation');
    const store = join(config, 'truststore/x509/ca/elsewhere');
    rmSync(store, { recursive: true, force: true });
    mkdirSync(store, { recursive: true });
    copyFileSync(join(directory, certificate), join(store, 'ca.crt'));
    const policy = {
      name: 'elsewhere',
      registryScopes: ['*'],
      signatureVerification: { level: 'strict' },
      trustStores: ['ca:elsewhere'],
      trustedIdentities: ['*'],
    };
    writeFileSync(
      join(config, 'trustpolicy.json'),
      JSON.stringify({ version: '1.0', trustPolicies: [policy] }),
    );
  }

  it.each([
    ['a token', 'pkcs11:token=a%20token;object=first', 'p256'],
    ['a token, Ed25519', 'pkcs11:token=a%20token;object=second', 'ed25519'],
    ['OpenBao', 'openbao://first', 'p256'],
    ['OpenBao, Ed25519', 'openbao://second', 'ed25519'],
    ['AWS KMS', 'awskms:///alias/first', 'p256'],
    ['an SSH agent', 'ssh-agent:me%20ed25519', undefined],
    ['an SSH agent, P-256', 'ssh-agent:me%20ecdsa', undefined],
    ['a plug-in of sigstore', 'testing://key.pem', undefined],
  ])('of %s sign images, which cosign and bulla verify', async (name, uri, made) => {
    const known = name.replace(/\W+/g, '-');
    if (made !== undefined) await work('key', 'generate', known, '--type', made, '--at', uri);
    else await work('key', 'import', uri, known);
    const image = await newImage();
    await work('sign', image, '--key', uri);
    await work('key', 'export', known, '--public', '--out', `${known}.pub`);
    await work('verify', image, '--key', `${known}.pub`);
    const cosign = [
      'verify',
      '--key',
      `${known}.pub`,
      '--insecure-ignore-tlog=true',
      '--allow-http-registry',
      image,
    ];
    await ok(peer('cosign'), cosign, { cwd: directory, env });
  });

  it.each([
    ['a token', 'pkcs11:token=a%20token;object=hsm'],
    ['OpenBao', 'openbao://p384'],
    ['AWS KMS', 'awskms:///alias/p384'],
  ])('of %s have certificates, with which Notation signatures are made', async (name, uri) => {
    const known = `${name.replace(/\W+/g, '-')}-certified`;
    await work('key', 'generate', known, '--type', 'p384', '--at', uri);
    await work('key', 'cert', known, '--self-signed', '--subject', 'C=DE, ST=Berlin, O=Acme, CN=release');
    await work('key', 'export', known, '--cert', '--out', `${known}.crt`);
    const image = await newImage();
    await work('sign', image, '--key', known, '--signature-format', 'jws');
    await work('sign', image, '--key', known, '--signature-format', 'cose');
    expect(JSON.parse(await work('verify', image, '--ca', `${known}.crt`, '-o', 'json'))).toMatchObject({
      ok: true,
    });
    await trustWithNotation(`${known}.crt`);
    await ok(peer('notation'), ['verify', '--insecure-registry', image], { cwd: directory, env });
  });

  it('sign all roles of a collection: init, names, rotation, and the re-signer', async () => {
    const image = await newImage();
    const repository = image.replace(/:v1$/, '');
    await work('key', 'generate', 'online', '--type', 'ed25519', '--at', 'openbao://online');
    await work('key', 'generate', 'publisher', '--at', 'awskms:///alias/publisher');
    const root = 'pkcs11:token=a%20token;object=root';
    await work('key', 'generate', 'root', '--at', root);
    await work(
      'init',
      repository,
      '--root-key',
      root,
      '--publisher-key',
      'publisher',
      '--online-key',
      'openbao://online',
    );
    await work('sign', image, '--key', 'publisher');
    await work('verify', image);
    await work('key', 'generate', 'next', '--at', 'pkcs11:token=a%20token;object=next');
    await work('rotate', repository, 'root', '--key', 'next');
    await work('rotate', repository, 'names', '--key', 'awskms:///alias/first');
    await work('resign', repository, '--key', 'openbao://online');
    await work('verify', image);
  });

  /** Runs a command where no network is to be had, where the system lets us have such a place. */
  const apart = spawnSync('unshare', ['-rn', 'true']).status === 0 ? ['unshare', '-rn'] : [];
  const offline = (...args: string[]): readonly [string, string[]] => {
    const [file = '', ...rest] = [...apart, process.execPath, BULLA, 'ceremony', ...args];
    return [file, rest];
  };

  it('hold a ceremony in a process without a network, which is killed in between', async () => {
    const image = await newImage();
    const repository = image.replace(/:v1$/, '');
    const root = 'pkcs11:token=a%20token;object=ceremony';
    await work('key', 'generate', 'ceremony', '--at', root);
    await work('key', 'import', 'testing://slow.pem', 'slow');
    await work('key', 'generate', 'c-publisher', '--at', 'awskms:///alias/c-publisher');
    await work('key', 'generate', 'c-online', '--at', 'openbao://c-online');
    for (const name of ['slow', 'c-publisher', 'c-online'])
      await work('key', 'export', name, '--public', '--out', `${name}.pub`);
    const begin = ['begin', repository, '--root-key', root, '--root-key', 'slow', '--threshold', 'root=2'];
    const others = [
      '--publisher-key',
      'c-publisher.pub',
      '--online-key',
      'c-online.pub',
      '--out',
      'root.json',
    ];
    const [file, args] = offline(...begin, ...others, '--person', 'Ada', '--person', 'Bob', '--yes');
    const child = spawn(file, args, { cwd: directory, env: { ...env, TESTING_SLOW: '1' }, stdio: 'ignore' });
    const ended = once(child, 'close');
    const record = join(directory, 'root.json.record.txt');
    while (!(existsSync(record) && readFileSync(record, 'utf8').includes('Bob signs')))
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill('SIGKILL');
    await ended;
    const show = async (): Promise<{
      change: string;
      publish: string;
      signatures: { signedBy: string[] }[];
    }> => JSON.parse(await ok(...offline('show', 'root.json', '-o', 'json'), { cwd: directory, env }));
    const { change, signatures } = await show();
    expect(signatures).toMatchObject([{ signedBy: [expect.any(String)] }]);
    const keys = ['--key', 'slow', '--key', root, '--change', change, '--yes'];
    await ok(...offline('sign', 'root.json', ...keys), { cwd: directory, env });
    expect(readFileSync(record, 'utf8')).not.toContain(PIN);
    // Services are out of reach there, and refused before they are asked.
    const [other, refused] = offline('sign', 'root.json', '--key', 'c-online', '--change', change, '--yes');
    expect((await run(other, refused, { cwd: directory, env })).stderr).toMatch(
      /\[(usage|untrusted-identity)\]/,
    );
    await work(...(await show()).publish.split(' ').slice(1));
    await work('sign', image, '--key', 'c-publisher');
    await work('verify', image);
    await work('rotate', repository, 'root', '--renew', '--export-unsigned', 'renew.json');
    const renewal = JSON.parse(await work('ceremony', 'show', 'renew.json', '-o', 'json'));
    const both = ['--key', root, '--key', 'slow', '--change', renewal.change, '--yes'];
    await ok(...offline('sign', 'renew.json', ...both), { cwd: directory, env });
    await work('rotate', repository, '--import-signed', 'renew.json');
    await work('verify', image);
  });

  it('are replaced where they are kept, by the commands of bulla recover', async () => {
    const image = await newImage();
    const repository = image.replace(/:v1$/, '');
    const places = {
      'r-root': 'pkcs11:token=a%20token;object=r-root',
      'r-spare': 'pkcs11:token=a%20token;object=r-spare',
      'r-publisher': 'awskms:///alias/r-publisher',
      'r-online': 'openbao://r-online',
    };
    for (const [name, uri] of Object.entries(places)) await work('key', 'generate', name, '--at', uri);
    const keys = ['--publisher-key', 'r-publisher', '--online-key', 'r-online'];
    await work('init', repository, '--root-key', 'r-root', '--root-key', 'r-spare', ...keys);
    await work('sign', image, '--key', 'r-publisher');
    const made: string[] = [];
    for (const [lost, key] of [
      ['publisher-key', 'r-publisher'],
      ['online-key', 'r-online'],
      ['root-key', 'r-root'],
    ] as const) {
      const plan: { steps: { argv: string[]; exits: number[] }[] } = JSON.parse(
        await work('recover', repository, '--lost', lost, '--key', key, '-o', 'json'),
      );
      for (const { argv, exits } of plan.steps) {
        const { status, stderr } = await bulla(argv.slice(1), { cwd: directory, env });
        expect(exits, `${argv.join(' ')}\n${stderr}`).toContain(status);
        if (argv.includes('--at')) made.push(argv.at(-1)?.replace(/[:;].*/, '') ?? '');
      }
    }
    expect(made).toEqual(['awskms', 'openbao', 'pkcs11']);
    await work('verify', image);
  });

  it('say what is wrong, publish nothing, and tell no secret', async () => {
    const image = await newImage();
    const token = 'pkcs11:token=a%20token;object=faulty';
    await work('key', 'generate', 'faulty', '--at', token);
    const cases: readonly (readonly [Readonly<Record<string, string>>, string, string])[] = [
      [{ BULLA_PKCS11_PIN: '999999' }, token, '[key-invalid]'],
      [{}, 'pkcs11:token=another;object=x', '[key-unavailable]'],
      [{}, 'pkcs11:token=a%20token;object=nothing', '[not-found]'],
      [{ BAO_TOKEN: 'hvs.wrong-and-secret' }, 'openbao://first', '[forbidden]'],
      [{ BAO_ADDR: 'http://127.0.0.1:1' }, 'openbao://first', '[key-unavailable]'],
      [{}, 'openbao://nothing', '[not-found]'],
      [{}, 'awskms:///alias/nothing', '[not-found]'],
      [{ SSH_AUTH_SOCK: join(directory, 'nothing') }, 'ssh-agent:', '[key-unavailable]'],
      [{}, 'ssh-agent:', '[usage]'],
      [{}, 'unheard-of://key', '[usage]'],
      [{ NODE_PATH: '' }, token, '[usage]'],
    ];
    for (const [more, uri, code] of cases) {
      const said = await failing(more, 'sign', image, '--key', uri);
      expect(said, uri).toContain(code);
      expect(said, uri).not.toMatch(/999999|583104|wrong-and-secret/);
    }
    expect(
      (await run(process.execPath, [BULLA, 'verify', image, '--key', 'faulty'], { cwd: directory, env }))
        .status,
    ).toBe(10);
    // The wrong PIN was tried once: the token counts.
    await work('sign', image, '--key', 'faulty');
    expect(readFileSync(join(directory, 'bulla/keys/faulty.key'), 'utf8')).not.toContain(PIN);
  });
});
