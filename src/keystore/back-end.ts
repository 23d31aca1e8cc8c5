import type { Algorithm, AlgorithmId } from '../crypto/algorithm.ts';
import type { Certificate } from '../crypto/certificate.ts';
import type { GeneratedKeyType, PrivateKeyFormat } from '../crypto/private-key.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import type { EnvelopeRequest, OpeningOptions, SigningOptions } from '../crypto/signer.ts';
import type { Keystore } from './store.ts';

/** What a passphrase is wanted for. */
export interface PassphraseRequest {
  /** The key, as people know it. */
  readonly key: string;
  /** COSIGN_PASSWORD is for `sigstore` alone. */
  readonly format: PrivateKeyFormat;
  /** Never prompt: the outcome is `usage` if a prompt would be needed. */
  readonly unattended?: true;
}

/**
 * Gives the passphrase of an encrypted key. It may be called for several keys at once.
 * @param opens whether a passphrase is the right one. A source that prompts uses it to try what opened other keys
 *   before, and to prompt again after a mistake. Trying costs as much as opening: about 0.1 s
 * @throws BullaError usage if no passphrase is available
 */
export type PassphraseSource = (
  request: PassphraseRequest,
  opens?: (passphrase: Uint8Array) => Promise<boolean>,
) => Promise<Uint8Array>;

/** Where keys come from. */
export interface KeySources {
  readonly keystore: Keystore;
  readonly passphrase: PassphraseSource;
  /** Value of an environment variable, for `env://VAR`. */
  readonly environment: (name: string) => string | undefined;
  /** The environment of plug-ins; secrets that are not theirs are taken out. */
  readonly variables?: Readonly<Record<string, string | undefined>> | undefined;
  /**
   * Asks a person for the PIN of a token, once: a wrong one is not asked for again. Without it the PIN must be in a
   * file or variable.
   */
  readonly pin?: ((token: string) => Promise<string>) | undefined;
  /** Directory that relative paths start from. */
  readonly cwd: string;
  /** Take a private key file that others may read, too. */
  readonly anyMode?: boolean;
  /** Further back ends by how their URIs begin, in lower case: `my-kms://`, `token:`; they go before ours. Each is loaded when it is asked for a key. */
  readonly backEnds?: ReadonlyMap<string, () => Promise<KeyBackEnd>> | undefined;
}

/**
 * Where private keys are kept, behind one scheme of URIs (decision 0320). A back end is one file, loaded when a key of
 * its scheme is asked for.
 */
export interface KeyBackEnd {
  /**
   * Finds a key. No secret is asked for, unless the public key cannot be known without it.
   * @param uri as the person wrote it
   * @throws BullaError usage where the URI is malformed, not-found, key-invalid; what the back end's transport throws
   */
  find(uri: string, sources: KeySources): Promise<KeyHandle>;
  /**
   * Makes a key there, whose private half never leaves. Left out where it has to be made with other tools.
   * @throws BullaError conflict where there is one already, usage for a type that is not made there; as `find`
   */
  generate?(uri: string, type: GeneratedKeyType, sources: KeySources): Promise<void>;
}

/** What a back end knows of one key, and how it signs. `keyOf` makes a `Signer` of it, which keeps the promises of that port. */
export interface KeyHandle {
  /** How people know the key; never a secret. */
  readonly name: string;
  readonly publicKey: PublicKey;
  /** From the signing certificate to the root; empty for a bare key. */
  readonly certificates?: readonly Certificate[];
  /** What the key can sign with, its default first; if left out, all algorithms for its type. */
  readonly algorithms?: readonly AlgorithmId[];
  /**
   * Opens the key: asks for a passphrase or PIN, logs in. Called once for all signatures. A refusal (`key-invalid`) is
   * final, so that a wrong PIN is never tried again on its own; after any other failure it may be called again.
   */
  open(options: OpeningOptions): Promise<SignMessages>;
}

/**
 * Signs messages in one go, or in as many requests as the back end needs, and returns the signatures in the order of
 * the messages, in the plain form of the algorithm. Every wait in it has a deadline of its own and ends with `signal`.
 */
export interface SignMessages {
  (
    algorithm: Algorithm,
    messages: readonly Uint8Array[],
    options: SigningOptions,
  ): Promise<readonly Uint8Array[]>;
  /** Of a key that makes whole envelopes only: messages are then refused. */
  readonly envelope?: (request: EnvelopeRequest, options: SigningOptions) => Promise<Uint8Array>;
}
