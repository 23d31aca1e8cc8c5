import { createHash } from 'node:crypto';
import type { Algorithm, AlgorithmId } from '../../crypto/algorithm.ts';
import type { OpeningOptions } from '../../crypto/signer.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type { KeyBackEnd, KeyHandle, KeySources, SignMessages } from '../back-end.ts';
import { withoutNewline } from '../passphrase.ts';
import { readSecretFile } from '../read.ts';
import { codeOf, type Handle, loadModule, type Mechanism } from './pkcs11-module.ts';
import {
  attempt,
  attributeOf,
  CKA,
  CKO_PRIVATE_KEY,
  CKO_PUBLIC_KEY,
  CKR,
  CURVES,
  labelOf,
  notThere,
  objectsOf,
  type Place,
  privateKeyIn,
  publicKeyIn,
  publicKeyOfObject,
  templateOf,
  tokenOf,
  tokensOf,
  unavailable,
} from './pkcs11-objects.ts';
import { parsePkcs11Uri } from './pkcs11-uri.ts';
import { firstSet, preferring, taken } from './service.ts';

// Constants of PKCS #11 v3.1, §6 and its headers.
const CKF_SERIAL_SESSION = 0x4;
const CKF_RW_SESSION = 0x2;
const CKF_USER_PIN_FINAL_TRY = 0x20000;
const CKU_USER = 1;
const CKU_CONTEXT_SPECIFIC = 2;
const CKM = {
  EC_GENERATE: 0x1040,
  EDDSA_GENERATE: 0x1055,
  RSA_PKCS: 0x1,
  RSA_PKCS_PSS: 0xd,
  ECDSA: 0x1041,
  EDDSA: 0x1057,
};
const CKP_RSA_PSS = 2;
const PSS = { sha256: [0x250, 2], sha384: [0x260, 3], sha512: [0x270, 4] } as const;

/** DigestInfo before the digest (RFC 8017 §9.2, note 1). */
const DIGEST_INFO = {
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
} as const;
const RSA: readonly AlgorithmId[] = ['PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512'];
/** A device may wait for a touch. */
const SIGN_MS = 60_000;
const MAX_SIGNATURE_BYTES = 2048;

/** Keys of HSMs, smart cards and security keys by their PKCS #11 module: `pkcs11:` (RFC 7512; spec/keys.md). */
export const PKCS11: KeyBackEnd = {
  async find(uri, sources): Promise<KeyHandle> {
    const wanted = parsePkcs11Uri(uri, sources);
    const module = await loadModule(wanted.modulePath);
    const token = tokenOf(module, wanted);
    const session = attempt('opened', () => module.C_OpenSession(token.slot, CKF_SERIAL_SESSION));
    const place: Place = { module, session, token, wanted, sources };
    let isIn = false;
    // Some tokens show nothing at all before the PIN.
    let publicKey = publicKeyIn(place);
    if (publicKey === undefined) {
      await logIn(place, {});
      isIn = true;
      publicKey = publicKeyIn(place);
    }
    if (publicKey === undefined) throw notThere(place);
    const curve = publicKey.type === 'RSA' ? undefined : publicKey.type;
    return {
      name: `pkcs11:token=${encodeURIComponent(token.info.label)}${labelOf(wanted)}`,
      publicKey,
      ...(curve === undefined && { algorithms: preferring(publicKey, RSA) }),
      open: async (options) => {
        if (!isIn) await logIn(place, options);
        isIn = true;
        return signing(place, privateKeyIn(place));
      },
    };
  },
  async generate(uri, type, sources): Promise<void> {
    const wanted = parsePkcs11Uri(uri, sources);
    const { object } = wanted;
    if (object === undefined)
      throw new BullaError('usage', 'the new key needs a label', { hint: 'add ;object=LABEL to the URI' });
    const module = await loadModule(wanted.modulePath);
    const token = tokenOf(module, wanted);
    const session = attempt('opened', () =>
      module.C_OpenSession(token.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION),
    );
    const place: Place = { module, session, token, wanted, sources };
    await logIn(place, {});
    if (objectsOf(place, templateOf(CKO_PRIVATE_KEY, wanted)).length > 0) throw taken(uri);
    const id = wanted.id ?? createHash('sha256').update(object).digest().subarray(0, 8);
    const both = [
      { type: CKA.TOKEN, value: true },
      { type: CKA.LABEL, value: Buffer.from(object, 'utf8') },
      { type: CKA.ID, value: Buffer.from(id) },
    ];
    const [parameters] = [...CURVES].find(([, curve]) => curve === type) ?? [''];
    const publicKey = [
      ...both,
      { type: CKA.VERIFY, value: true },
      { type: CKA.EC_PARAMS, value: Buffer.from(parameters, 'hex') },
    ];
    const secret = [
      { type: CKA.PRIVATE, value: true },
      { type: CKA.SENSITIVE, value: true },
      { type: CKA.EXTRACTABLE, value: false },
      { type: CKA.SIGN, value: true },
    ];
    const mechanism = type === 'Ed25519' ? CKM.EDDSA_GENERATE : CKM.EC_GENERATE;
    await module
      .C_GenerateKeyPairAsync(session, { mechanism }, publicKey, [...both, ...secret])
      .catch((cause: unknown) => {
        throw unavailable('did not make the key', cause);
      });
  },
};

/** Keys on the tokens of a module, with the URIs that name them; those that show before a PIN. */
export async function tokenKeys(
  sources: KeySources,
  modulePath: string,
): Promise<
  readonly { readonly uri: string; readonly token: string; readonly label: string; readonly type: string }[]
> {
  const module = await loadModule(modulePath);
  const all: { uri: string; token: string; label: string; type: string }[] = [];
  for (const { slot, info } of tokensOf(module)) {
    const session = attempt('opened', () => module.C_OpenSession(slot, CKF_SERIAL_SESSION));
    const wanted = parsePkcs11Uri(
      `pkcs11:token=${encodeURIComponent(info.label)}?module-path=${encodeURIComponent(modulePath)}`,
      sources,
    );
    const place: Place = { module, session, token: { slot, info }, wanted, sources };
    for (const object of objectsOf(place, [{ type: CKA.CLASS, value: CKO_PUBLIC_KEY }])) {
      const label = (attributeOf(place, object, CKA.LABEL) ?? Buffer.alloc(0)).toString('utf8');
      const id = attributeOf(place, object, CKA.ID) ?? Buffer.alloc(0);
      const idText = [...id].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
      const uri = `pkcs11:token=${encodeURIComponent(info.label)};${label === '' ? `id=${idText}` : `object=${encodeURIComponent(label)}`}`;
      try {
        all.push({ uri, token: info.label, label, type: publicKeyOfObject(place, object).type });
      } catch (error) {
        // A key of another type is not one that could be chosen.
        if (!isBullaError(error, 'key-invalid')) throw error;
      }
    }
  }
  return all;
}

/**
 * Logs in once. A wrong PIN is never tried again, and the last try that the token has left is spent by a typed PIN
 * only.
 * @throws BullaError key-invalid, usage
 */
async function logIn(
  { module, session, token, wanted, sources }: Place,
  options: OpeningOptions,
): Promise<void> {
  const { label } = token.info;
  const given =
    wanted.pinFile === undefined
      ? firstSet(sources, 'BULLA_PKCS11_PIN', 'COSIGN_PKCS11_PIN')
      : await pinIn(wanted.pinFile);
  if (given !== undefined && (token.info.flags & CKF_USER_PIN_FINAL_TRY) !== 0)
    throw new BullaError('key-invalid', `the token ${label} has one try left for its PIN`, {
      hint: 'log in with the tool of its maker first, so that a mistake in a file does not lock it',
    });
  const pin = given ?? (await typedPin(label, sources, options));
  try {
    module.C_Login(session, CKU_USER, pin);
  } catch (cause) {
    const code = codeOf(cause);
    if (code === CKR.USER_ALREADY_LOGGED_IN) return;
    if (code === CKR.PIN_LOCKED)
      throw new BullaError('key-invalid', `the PIN of the token ${label} is locked`, {
        hint: 'unlock it with its PUK or security officer',
      });
    if (code === CKR.PIN_INCORRECT)
      throw new BullaError(
        'key-invalid',
        `that is not the PIN of the token ${label}; it was not tried again`,
        {
          hint: 'a few wrong PINs lock the token: check it before the next try',
        },
      );
    throw unavailable('did not let us in', cause);
  }
}

async function pinIn(path: string): Promise<string> {
  return decodeUtf8(withoutNewline(await readSecretFile(path)), path);
}

async function typedPin(label: string, { pin }: KeySources, { unattended }: OpeningOptions): Promise<string> {
  if (pin === undefined || unattended === true)
    throw new BullaError(
      'usage',
      `the PIN of the token ${label} is not given, and prompting is not possible now`,
      {
        hint: 'set BULLA_PKCS11_PIN, or ?pin-source=file:/PATH in the URI',
      },
    );
  return await pin(label);
}

/** One signature after another: a session does one thing at a time. */
function signing(place: Place, key: Handle): SignMessages {
  const { module, session } = place;
  let turn: Promise<unknown> = Promise.resolve();
  const signOne = async (algorithm: Algorithm, message: Uint8Array): Promise<Uint8Array> => {
    const { mechanism, data } = inputOf(algorithm, message);
    const sign = async (again: boolean): Promise<Uint8Array> => {
      module.C_SignInit(session, mechanism, key);
      // A key with CKA_ALWAYS_AUTHENTICATE wants the PIN for each signature.
      if (again) module.C_Login(session, CKU_CONTEXT_SPECIFIC, await pinAgain(place));
      return Uint8Array.from(
        await intime(module.C_SignAsync(session, data, Buffer.alloc(MAX_SIGNATURE_BYTES))),
      );
    };
    try {
      return await sign(false).catch((error: unknown) => {
        if (codeOf(error) !== CKR.USER_NOT_LOGGED_IN) throw error;
        return sign(true);
      });
    } catch (error) {
      if (isBullaError(error)) throw error;
      throw unavailable('did not sign', error);
    }
  };
  return (algorithm, messages) => {
    const work = turn.then(async () => {
      const signatures: Uint8Array[] = [];
      for (const message of messages) signatures.push(await signOne(algorithm, message));
      return signatures;
    });
    turn = work.catch(() => undefined);
    return work;
  };
}

async function pinAgain({ wanted, sources, token }: Place): Promise<string> {
  if (wanted.pinFile !== undefined) return await pinIn(wanted.pinFile);
  return (
    firstSet(sources, 'BULLA_PKCS11_PIN', 'COSIGN_PKCS11_PIN') ??
    (await typedPin(token.info.label, sources, {}))
  );
}

function inputOf(
  algorithm: Algorithm,
  message: Uint8Array,
): { readonly mechanism: Mechanism; readonly data: Buffer } {
  const { hash, padding } = algorithm;
  if (hash === undefined) return { mechanism: { mechanism: CKM.EDDSA }, data: Buffer.from(message) };
  const digest = createHash(hash).update(message).digest();
  if (padding === 'pkcs1')
    return {
      mechanism: { mechanism: CKM.RSA_PKCS },
      data: Buffer.concat([Buffer.from(DIGEST_INFO[hash], 'hex'), digest]),
    };
  if (padding === undefined) return { mechanism: { mechanism: CKM.ECDSA }, data: digest };
  const [hashAlg, mgf] = PSS[hash];
  const parameter = { type: CKP_RSA_PSS, hashAlg, mgf, saltLen: digest.byteLength };
  return { mechanism: { mechanism: CKM.RSA_PKCS_PSS, parameter }, data: digest };
}

/** @throws BullaError timeout */
async function intime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new BullaError('timeout', `the token did not sign within ${SIGN_MS / 1000} s`, {
            hint: 'it may be waiting for a touch',
          }),
        ),
      SIGN_MS,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
