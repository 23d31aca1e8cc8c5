import { BullaError } from '../../errors.ts';
import type { KeySources } from '../back-end.ts';
import { firstSet } from './service.ts';

/** What a PKCS #11 URI asks for (RFC 7512 §2.3): everything that is given must fit. */
export interface Pkcs11Uri {
  /** Of the token: `token`, `manufacturer`, `model`, `serial`. */
  readonly token: ReadonlyMap<string, string>;
  /** CKA_LABEL */
  readonly object: string | undefined;
  /** CKA_ID */
  readonly id: Buffer | undefined;
  readonly slot: number | undefined;
  readonly modulePath: string;
  /** Path of the file that holds the PIN. */
  readonly pinFile: string | undefined;
}

const OF_TOKEN: ReadonlySet<string> = new Set(['token', 'manufacturer', 'model', 'serial']);
const OF_KEY: ReadonlySet<string> = new Set(['object', 'id', 'type', 'slot-id']);
/** What a URI may say and we need not know: the module and library are chosen by their path. */
const IGNORED: ReadonlySet<string> = new Set([
  'library-manufacturer',
  'library-description',
  'library-version',
  'slot-manufacturer',
  'slot-description',
]);

/** @throws BullaError usage */
export function parsePkcs11Uri(uri: string, sources: KeySources): Pkcs11Uri {
  const [path = '', query = ''] = uri.slice('pkcs11:'.length).split('?', 2);
  const token = new Map<string, string>();
  const key = new Map<string, Buffer>();
  for (const [name, value] of attributesOf(path, ';', uri)) {
    if (OF_TOKEN.has(name)) token.set(name, value.toString('utf8'));
    else if (OF_KEY.has(name)) key.set(name, value);
    else if (!IGNORED.has(name)) throw wrong(uri, `it asks for ${name}, which is not known`);
  }
  const given = new Map(attributesOf(query, '&', uri).map(([name, value]) => [name, value.toString('utf8')]));
  if (given.has('pin-value'))
    throw new BullaError(
      'usage',
      'a PIN in the URI can be read by every program on this machine, so it is not accepted',
      {
        hint: 'use ?pin-source=file:/PATH, BULLA_PKCS11_PIN, or type it',
      },
    );
  for (const name of given.keys())
    if (!['module-path', 'module-name', 'pin-source'].includes(name))
      throw wrong(uri, `it has ${name}, which is not known`);
  const modulePath =
    given.get('module-path') ?? firstSet(sources, 'BULLA_PKCS11_MODULE', 'COSIGN_PKCS11_MODULE_PATH');
  if (modulePath === undefined || !modulePath.startsWith('/'))
    throw new BullaError('usage', 'the path of the PKCS #11 module is not given', {
      hint: 'add ?module-path=/usr/lib/…/libNAME.so, or set BULLA_PKCS11_MODULE',
    });
  const type = key.get('type')?.toString('utf8') ?? 'private';
  if (type !== 'private') throw wrong(uri, `it asks for a ${type} object, and a private key is needed`);
  const slot = key.get('slot-id')?.toString('utf8');
  if (slot !== undefined && !/^\d{1,9}$/.test(slot)) throw wrong(uri, 'slot-id is not a number');
  return {
    token,
    object: key.get('object')?.toString('utf8'),
    id: key.get('id'),
    slot: slot === undefined ? undefined : Number(slot),
    modulePath,
    pinFile: pinFileOf(given.get('pin-source'), uri),
  };
}

function pinFileOf(source: string | undefined, uri: string): string | undefined {
  if (source === undefined) return undefined;
  const path = source.replace(/^file:(?:\/\/)?/, '');
  if (path.startsWith('/')) return path;
  throw wrong(uri, 'pin-source is not the path of a file');
}

function attributesOf(text: string, separator: string, uri: string): (readonly [string, Buffer])[] {
  const seen = new Set<string>();
  return text
    .split(separator)
    .filter((part) => part !== '')
    .map((part) => {
      const [, name = '', value = ''] = /^([a-z0-9-]+)=(.*)$/s.exec(part) ?? [];
      if (name === '' || seen.has(name))
        throw wrong(uri, name === '' ? `"${part}" is not NAME=VALUE` : `it has ${name} twice`);
      seen.add(name);
      return [name, unescaped(value, uri)] as const;
    });
}

/** Percent-encoded octets: an id is bytes, not text. */
function unescaped(value: string, uri: string): Buffer {
  if (/%(?![0-9a-f]{2})/i.test(value)) throw wrong(uri, 'it has a % without two hexadecimal digits');
  return Buffer.concat(
    value
      .split(/(%[0-9a-f]{2})/i)
      .map((part) =>
        /^%[0-9a-f]{2}$/i.test(part) ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part, 'utf8'),
      ),
  );
}

function wrong(uri: string, why: string): BullaError {
  return new BullaError('usage', `${uri.split('?')[0]} cannot be used: ${why}`, {
    hint: 'write pkcs11:token=LABEL;object=LABEL or pkcs11:serial=N;id=%01 (RFC 7512)',
  });
}
