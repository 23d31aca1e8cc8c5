import { resolve } from 'node:path';
import { isTufKey, tufKey } from '../../../actions/sign/keys-at-hand.ts';
import { type Certificate, parseCertificates, subjectOf } from '../../../crypto/certificate.ts';
import { looksLikeDer, pemTextOf } from '../../../crypto/key-text.ts';
import { parsePem } from '../../../crypto/pem.ts';
import { parsePrivateKey } from '../../../crypto/private-key.ts';
import {
  type PublicKey,
  publicKeyPem,
  readPublicKeys,
  shortFingerprint,
} from '../../../crypto/public-key.ts';
import { formatTime } from '../../../encoding/time.ts';
import { BullaError } from '../../../errors.ts';
import { isKept, lookAtKept } from '../../../keystore/kept.ts';
import { isKeyName } from '../../../keystore/names.ts';
import { readPublicFile } from '../../../keystore/read.ts';
import type { BrokenKey, Keystore, StoredKey } from '../../../keystore/store.ts';
import { keySources, keystoreOf } from '../../flags/keys.ts';
import type { Context } from '../../shell/context.ts';

/** What is printed of one thing. */
export interface Description {
  readonly text: readonly string[];
  readonly json: Readonly<Record<string, unknown>>;
}

/** `bulla key ls` */
export async function list(
  context: Context,
  { tokens }: { readonly tokens?: string | boolean } = {},
): Promise<void> {
  if (tokens !== undefined) return listTokens(context, tokens);
  const keystore = keystoreOf(context);
  const keys = await keystore.list();
  context.output.result(
    keys.map((key) => line(key)),
    { directory: keystore.directory, keys: keys.map((key) => entry(key)) },
  );
  if (keys.length === 0)
    context.output.info(`no keys in ${keystore.directory}; bulla key generate makes one`);
}

/** `bulla key ls --tokens`: what the agent and the tokens of a PKCS #11 module have, by the URIs that name it. */
async function listTokens(context: Context, tokens: string | boolean): Promise<void> {
  const sources = keySources(context, {});
  const module = tokens === true ? context.io.env['BULLA_PKCS11_MODULE'] : String(tokens);
  const { agentKeys } = await import('../../../keystore/back-ends/ssh-agent.ts');
  const { tokenKeys } = await import('../../../keystore/back-ends/pkcs11.ts');
  const found = [
    ...(await agentKeys(sources)).map(({ uri, type, comment }) => ({ uri, type, label: comment })),
    ...(module === undefined ? [] : await tokenKeys(sources, module)).map(({ uri, type, label }) => ({
      uri,
      type,
      label,
    })),
  ];
  context.output.result(
    found.map(({ uri, type, label }) => [uri, type, label].join('  ')),
    { keys: found },
  );
  if (found.length === 0)
    context.output.info(
      'the SSH agent has no keys; for tokens give the module: --tokens /usr/lib/…/libNAME.so',
    );
}

/** `bulla key show` */
export async function show(context: Context, given: string | undefined): Promise<void> {
  const sources = keySources(context, {});
  const { keystore } = sources;
  if (given !== undefined && isKept(given, sources)) {
    const { publicKey, kept } = await lookAtKept(given, sources);
    context.output.result([given, ...publicKeyText(publicKey)], {
      ...publicKeyJson(publicKey),
      kept: kept.uri,
      algorithms: kept.algorithms,
    });
    return;
  }
  const isStored = given === undefined || (isKeyName(given) && (await keystore.has(given)));
  const { text, json } = isStored
    ? describeKey(await keystore.get(await nameOrDefault(keystore, given)))
    : await describeFile(resolve(context.io.cwd, given), given);
  context.output.result(text, json);
}

/** The name that is given, else that of the default key. @throws BullaError usage */
export async function nameOrDefault(keystore: Keystore, given: string | undefined): Promise<string> {
  const name = given ?? (await keystore.defaultName());
  if (name !== undefined) return name;
  throw new BullaError('usage', 'there is no default key', {
    hint: 'name the key, or make one the default: bulla key default NAME',
  });
}

/** A key of the store, for people and for programs. */
export function describeKey({ name, publicKey, certificates, isDefault, kept }: StoredKey): Description {
  return {
    text: [
      `${name}${isDefault ? ' (default)' : ''}`,
      ...(kept === undefined ? [] : [`  kept at      ${kept.uri}`]),
      ...publicKeyText(publicKey),
      ...certificates.flatMap(certificateText),
    ],
    json: {
      name,
      default: isDefault,
      ...publicKeyJson(publicKey),
      certificates: certificates.map(certificateJson),
      ...(kept !== undefined && { kept: kept.uri }),
    },
  };
}

/** Certificates, for people and for programs. */
export function describeCertificates(certificates: readonly Certificate[]): Description {
  return {
    text: certificates.flatMap(certificateText),
    json: { certificates: certificates.map(certificateJson) },
  };
}

async function describeFile(path: string, where: string): Promise<Description> {
  const bytes = await readPublicFile(path);
  if (looksLikeDer(bytes)) return describePublic(bytes, where);
  const text = pemTextOf(bytes, where);
  const labels = parsePem(text, { where, code: 'key-invalid' }).map(({ label }) => label);
  if (labels.length > 0 && labels.every((label) => label === 'CERTIFICATE'))
    return describeCertificates(parseCertificates(text, where));
  if (labels.some((label) => label.endsWith('PRIVATE KEY'))) {
    const { format, encrypted, role, gun } = parsePrivateKey(bytes, where);
    const scope = [role !== undefined && `role ${role}`, gun !== undefined && `for ${gun}`].filter(Boolean);
    return {
      text: [`private key (${[format, encrypted ? 'encrypted' : 'not encrypted', ...scope].join(', ')})`],
      json: { format, encrypted, ...(role !== undefined && { role }), ...(gun !== undefined && { gun }) },
    };
  }
  return describePublic(bytes, where);
}

function describePublic(bytes: Uint8Array, where: string): Description {
  const [publicKey, second] = readPublicKeys(bytes, where);
  if (publicKey === undefined || second !== undefined) {
    throw new BullaError('key-invalid', `${where} holds several public keys, and one was expected`, {
      hint: 'give one file for each key',
    });
  }
  return { text: publicKeyText(publicKey), json: publicKeyJson(publicKey) };
}

function line(key: StoredKey | BrokenKey): string {
  if ('problem' in key) return `${key.name}  unreadable: ${key.problem.message}`;
  const [leaf] = key.certificates;
  const parts = [key.name, key.publicKey.type, shortFingerprint(key.publicKey)];
  if (leaf !== undefined) parts.push(`${subjectOf(leaf)} until ${formatTime(leaf.notAfter)}`);
  if (key.kept !== undefined) parts.push(`at ${key.kept.uri}`);
  if (key.isDefault) parts.push('(default)');
  return parts.join('  ');
}

function entry(key: StoredKey | BrokenKey): Readonly<Record<string, unknown>> {
  return 'problem' in key
    ? { name: key.name, problem: { code: key.problem.code, message: key.problem.message } }
    : describeKey(key).json;
}

function publicKeyText(key: PublicKey): string[] {
  const size = key.modulusBits === undefined ? '' : ` ${key.modulusBits}`;
  const trustId = trustIdOf(key);
  return [
    `  type         ${key.type}${size}`,
    `  fingerprint  ${key.fingerprint}`,
    ...(trustId === undefined ? [] : [`  key id       ${trustId}  (in trust collections)`]),
    ...publicKeyPem(key).trimEnd().split('\n'),
  ];
}

function publicKeyJson(key: PublicKey): Readonly<Record<string, unknown>> {
  return {
    type: key.type,
    ...(key.modulusBits !== undefined && { bits: key.modulusBits }),
    fingerprint: key.fingerprint,
    keyid: trustIdOf(key) ?? null,
    publicKey: publicKeyPem(key),
  };
}

/** What trust collections, and pins of them, call the key; they have no name for every kind. */
function trustIdOf(key: PublicKey): string | undefined {
  return isTufKey(key) ? tufKey(key).keyid : undefined;
}

function certificateText(certificate: Certificate): string[] {
  return [
    `certificate    ${subjectOf(certificate)}`,
    `  valid        ${formatTime(certificate.notBefore)} to ${formatTime(certificate.notAfter)}`,
    `  thumbprint   ${certificate.thumbprint}`,
  ];
}

function certificateJson(certificate: Certificate): Readonly<Record<string, unknown>> {
  return {
    subject: subjectOf(certificate),
    notBefore: formatTime(certificate.notBefore),
    notAfter: formatTime(certificate.notAfter),
    thumbprint: certificate.thumbprint,
    serialNumber: certificate.serialNumber,
    authority: certificate.isCa,
  };
}
