import { type Algorithm, algorithm, defaultAlgorithm } from '../crypto/algorithm.ts';
import type { Certificate } from '../crypto/certificate.ts';
import { checkChainOrder } from '../crypto/chain.ts';
import { verifySignature } from '../crypto/signature.ts';
import type { EnvelopeRequest, OpeningOptions, Signer, SigningOptions } from '../crypto/signer.ts';
import { BullaError, isBullaError, throwIfAborted } from '../errors.ts';
import type { KeyHandle, KeySources, SignMessages } from './back-end.ts';
import { backEndOf } from './back-ends/registry.ts';

/** A signer that was found by name, path or URI. */
export interface KeySigner extends Required<Signer> {
  /** What it was asked for by. */
  readonly name: string;
  using(algorithm: Algorithm): KeySigner;
}

/**
 * The key that `--key` names: NAME of the store, PATH of a file, or a URI such as `env://VAR`; without one the
 * store's default. A name of the store goes before a file of that name in the current directory; `./NAME`
 * means the file (spec/keys.md). The key is not open yet, unless its public key cannot be known otherwise.
 * @throws BullaError usage, not-found, key-invalid, certificate-invalid, storage-error
 */
export async function keyOf(uri: string | undefined, sources: KeySources): Promise<KeySigner> {
  const wanted = uri ?? (await sources.keystore.defaultName());
  if (wanted === undefined || wanted === '') throw noKey();
  const backEnd = await (backEndOf(wanted, sources)?.() ??
    import('./key-file.ts').then(({ FILES }) => FILES));
  return signerOf(await backEnd.find(wanted, sources));
}

/** As {@link keyOf}, and opens it: a wrong passphrase is told now, and not at the first signature. */
export async function openKey(
  uri: string | undefined,
  sources: KeySources,
  options: SigningOptions = {},
): Promise<KeySigner> {
  return await opened(await keyOf(uri, sources), options);
}

/** A key that was found, open. @throws BullaError as {@link openKey} */
export async function opened(signer: KeySigner, options: SigningOptions = {}): Promise<KeySigner> {
  await signer.open(options);
  const { certificates, publicKey, name } = signer;
  if (certificates.length > 0) checkChainOrder(certificates, publicKey, `the certificates of ${name}`);
  return signer;
}

/** The signer of a key that a back end has found. @throws BullaError key-invalid where it can sign with nothing that is known */
export function signerOf(handle: KeyHandle): KeySigner {
  const { publicKey, algorithms = [] } = handle;
  const [first] = algorithms;
  const chosen =
    first === undefined ? defaultAlgorithm(publicKey.type, publicKey.modulusBits) : algorithm(first);
  return new HandleSigner(handle, new Opening(handle), chosen);
}

/** The opening of a key, for all algorithms that it signs with. */
class Opening {
  private readonly handle: KeyHandle;
  private attempt: { readonly opened: Promise<SignMessages>; readonly unattended: boolean } | undefined;

  constructor(handle: KeyHandle) {
    this.handle = handle;
  }

  async open(options: OpeningOptions): Promise<SignMessages> {
    throwIfAborted(options.signal);
    const { opened, unattended } = this.attempt ?? this.begin(options);
    try {
      return await endingWith(options.signal, opened);
    } catch (error) {
      // If a prompt was not allowed early, it is allowed now.
      if (!unattended || options.unattended === true || isFinal(error)) throw error;
      throwIfAborted(options.signal);
      return await this.open(options);
    }
  }

  private begin(options: OpeningOptions): NonNullable<Opening['attempt']> {
    const attempt = { opened: this.handle.open(options), unattended: options.unattended === true };
    this.attempt = attempt;
    // The caller that signs gets the error; this is for a key that was opened early and then not needed.
    attempt.opened.catch((error: unknown) => {
      if (!isFinal(error) && this.attempt === attempt) this.attempt = undefined;
    });
    return attempt;
  }
}

/** Whether opening a key again would fail again, or do harm: a token locks after a few wrong PINs. */
function isFinal(error: unknown): boolean {
  return isBullaError(error, 'key-invalid');
}

class HandleSigner implements KeySigner {
  readonly name: string;
  readonly keyId: string;
  readonly publicKey: KeySigner['publicKey'];
  readonly certificates: readonly Certificate[];
  readonly algorithm: Algorithm;
  private readonly handle: KeyHandle;
  private readonly opening: Opening;

  constructor(handle: KeyHandle, opening: Opening, chosen: Algorithm) {
    const { name, publicKey, certificates = [] } = handle;
    this.name = name;
    this.keyId = publicKey.fingerprint;
    this.publicKey = publicKey;
    this.certificates = certificates;
    this.algorithm = chosen;
    this.handle = handle;
    this.opening = opening;
  }

  async open(options: OpeningOptions = {}): Promise<void> {
    await this.opening.open(options);
  }

  using(another: Algorithm): KeySigner {
    const { name, publicKey, algorithms } = this.handle;
    if (another.id === this.algorithm.id) return this;
    if (another.keyType !== publicKey.type || algorithms?.includes(another.id) === false) {
      throw new BullaError(
        'key-invalid',
        `the key ${name} (${publicKey.type}) does not sign with ${another.id}`,
        { hint: 'use a key of the type that the algorithm needs' },
      );
    }
    return new HandleSigner(this.handle, this.opening, another);
  }

  async sign(message: Uint8Array, options: SigningOptions = {}): Promise<Uint8Array> {
    const [signature] = await this.signMany([message], options);
    return signature as Uint8Array;
  }

  async signEnvelope(
    request: EnvelopeRequest,
    options: SigningOptions = {},
  ): Promise<Uint8Array | undefined> {
    const { envelope } = await this.opening.open(options);
    if (envelope === undefined) return undefined;
    throwIfAborted(options.signal);
    return await endingWith(options.signal, envelope(request, options));
  }

  async signMany(
    messages: readonly Uint8Array[],
    options: SigningOptions = {},
  ): Promise<readonly Uint8Array[]> {
    if (messages.length === 0) return [];
    const signMessages = await this.opening.open(options);
    const { signal } = options;
    throwIfAborted(signal);
    const signatures = await endingWith(signal, signMessages(this.algorithm, messages, options));
    const isWhole = signatures.length === messages.length;
    if (!isWhole || !messages.every((message, at) => this.verifies(message, signatures[at]))) {
      throw new BullaError('key-invalid', `a signature by ${this.name} does not verify with its public key`, {
        hint: 'nothing was published; check the device or service that keeps the key, then sign again',
        details: { key: this.keyId },
      });
    }
    return signatures;
  }

  /** A device or service may fail, or answer for another key, so its signatures are verified. */
  private verifies(message: Uint8Array, signature: Uint8Array | undefined): boolean {
    return (
      signature !== undefined && verifySignature(this.publicKey, this.algorithm, message, signature, 'raw')
    );
  }
}

/** What `work` comes to, or the end of the signal, whichever is first. */
async function endingWith<T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
  if (signal === undefined) return await work;
  let stop = (): void => undefined;
  const stopped = new Promise<never>((_, reject) => {
    stop = (): void => {
      try {
        throwIfAborted(signal);
      } catch (error) {
        reject(error);
      }
    };
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([work, stopped]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function noKey(): BullaError {
  return new BullaError('usage', 'no key is given, and there is no default key', {
    hint: 'give --key NAME|PATH|env://VAR, or make a key: bulla key generate',
  });
}
