import { ecdsaToDer } from '../../crypto/signature.ts';
import { type OpeningOptions, type Signer, signMany } from '../../crypto/signer.ts';
import { equalBytes, fromHex, hex } from '../../encoding/bytes.ts';
import { compareCodePoints } from '../../encoding/canonical.ts';
import type { JsonObject } from '../../encoding/json.ts';
import { BullaError } from '../../errors.ts';
import { distinctKeys, type RoleKeys } from '../delegation-keys.ts';
import { signedBytes, type TufKey, tufKeyOf } from '../keys.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import {
  composeMetadataFile,
  type MetadataFile,
  parseMetadataFile,
  type TufSignature,
} from '../metadata-file.ts';
import { countSignatures } from '../threshold.ts';
import type { SignedCheck } from './known-members.ts';

/** A key that signs metadata: a `Signer` under the name that TUF has for it. */
export interface TufSigner {
  readonly key: TufKey;
  /** Signature over the message, as TUF writes it: DER for ECDSA. */
  sign(message: Uint8Array): Promise<Uint8Array>;
  /** As `sign`, for several messages at once, where that is less work. */
  signMany?(messages: readonly Uint8Array[]): Promise<readonly Uint8Array[]>;
  /** Makes the key ready. @throws BullaError as `sign` */
  open?(options?: OpeningOptions): Promise<void>;
}

/**
 * A signer for TUF metadata. What a key signs in TUF is told by its scheme, so the same private key with
 * another algorithm is another TUF key.
 * @param key what a role lists the key as; its own name if left out
 * @throws BullaError key-invalid where TUF has no name for its type and algorithm
 */
export function tufSigner(
  signer: Signer,
  key: TufKey = tufKeyOf(signer.publicKey, signer.algorithm.id),
): TufSigner {
  const isEcdsa = signer.algorithm.scalarBytes !== undefined;
  const written = (plain: Uint8Array): Uint8Array => (isEcdsa ? ecdsaToDer(plain) : plain);
  return {
    key,
    sign: async (message) => written(await signer.sign(signedBytes(signer.algorithm, message))),
    signMany: async (messages) => {
      const bytes = messages.map((message) => signedBytes(signer.algorithm, message));
      return (await signMany(signer, bytes)).map(written);
    },
    open: async (options) => await signer.open?.(options),
  };
}

/** A threshold of keys that a file has to meet; it may have to meet several. */
export interface SignatureDemand {
  /** Who demands it, for people: `root`, `root 3`, the name of a role. */
  readonly delegator: string;
  readonly keys: ReadonlyMap<string, TufKey>;
  readonly role: RoleKeys;
}

/** How far a demand is met; as what is missing where it lacks signatures. */
export interface MissingSignatures {
  readonly role: string;
  readonly delegator: string;
  readonly threshold: number;
  /** Ids of keys whose valid signatures are there. */
  readonly valid: readonly string[];
  /** An id of each key that could still sign; fewer than are lacking if the demand cannot be met at all. */
  readonly open: readonly string[];
}

/** One id of each usable key that has not signed yet. */
function openIds(
  keys: ReadonlyMap<string, TufKey>,
  keyids: readonly string[],
  signed: readonly string[],
): readonly string[] {
  const seen = new Set(distinctKeys(keys, signed));
  return keyids.filter((keyid) => {
    const fingerprint = keys.get(keyid)?.fingerprint;
    if (fingerprint === undefined || seen.has(fingerprint)) return false;
    seen.add(fingerprint);
    return true;
  });
}

/**
 * A file on its way to enough signatures. Its content is fixed; signatures of several people come in
 * from anywhere, in any order, and only those count that verify over exactly this content.
 */
export class PendingFile {
  readonly role: string;
  readonly signed: JsonObject;
  readonly demands: readonly SignatureDemand[];
  /** Thresholds that need not be met, whose keys may sign as well. */
  private readonly welcome: readonly SignatureDemand[];
  private readonly check: SignedCheck | undefined;
  private readonly unsigned: MetadataFile;
  /** By key id, in lower-case hex: a file must not carry two for one id. */
  private readonly pool = new Map<string, string>();
  private composed: MetadataFile | undefined;
  private isSealed = false;

  /**
   * @param welcome thresholds that need not be met, whose keys may sign as well
   * @param check refuses what must not be signed here
   */
  constructor(
    role: string,
    signed: JsonObject,
    demands: readonly SignatureDemand[],
    welcome: readonly SignatureDemand[] = [],
    check?: SignedCheck,
  ) {
    this.role = role;
    this.signed = signed;
    this.demands = demands;
    this.welcome = welcome;
    this.check = check;
    this.unsigned = composeMetadataFile(role, signed, []);
  }

  /** What a signature is made over: for devices that sign bytes. */
  get message(): Uint8Array {
    return this.unsigned.message;
  }

  /**
   * The file with the signatures that are there, sorted by key id: what is sent to the next signer, and,
   * once nothing is missing, what is published.
   */
  get file(): MetadataFile {
    this.composed ??= composeMetadataFile(this.role, this.signed, this.signatures());
    return this.composed;
  }

  /** What is missing, by demand; empty once the file may be published. */
  missing(): readonly MissingSignatures[] {
    return this.progress().filter(({ valid, threshold }) => valid.length < threshold);
  }

  /** How far each demand is met: only signatures of its own keys count, each key once. */
  progress(): readonly MissingSignatures[] {
    // The same content under the signatures of now, without writing the file anew for each question.
    const file = { ...this.unsigned, signatures: this.signatures() };
    return this.demands.map(({ delegator, keys, role }) => {
      const { valid, threshold } = countSignatures(file, keys, role);
      return { role: this.role, delegator, threshold, valid, open: openIds(keys, role.keyids, valid) };
    });
  }

  /** Whether a key may sign this file and has not. */
  wants(key: TufKey): boolean {
    return !this.isSealed && this.openIdsOf(key).length > 0;
  }

  /**
   * Fixes the bytes: other files hold their hash from now on, or they are published. Surplus signatures
   * that come later are not taken.
   */
  seal(): MetadataFile {
    this.isSealed = true;
    return this.file;
  }

  /**
   * Signs with every signer that may; as {@link signFiles}.
   * @returns how many did
   * @throws BullaError what the check of the signed content throws; then nothing was signed
   */
  async sign(signers: Iterable<TufSigner>): Promise<number> {
    return await signFiles([this], signers);
  }

  /** Refuses what must not be signed here. @throws BullaError what the check throws */
  assertSignable(): void {
    this.check?.(this.role, this.signed);
  }

  /** Takes the signature of a key that may sign this file, under every id that it is listed by. */
  addOf(key: TufKey, signature: Uint8Array): void {
    const sig = hex(signature);
    for (const keyid of this.openIdsOf(key)) this.add({ keyid, sig });
  }

  /**
   * Takes a signature from elsewhere.
   * @throws BullaError untrusted-identity where no demand lists the key, signature-mismatch where it is
   *   not the key's over this content, usage once the file is sealed
   */
  add(signature: TufSignature): void {
    if (this.isSealed) throw this.sealed();
    const { keyid } = signature;
    const keys = this.keysListedAs(keyid);
    if (keys.length === 0) throw this.unlisted(keyid);
    const bytes = fromHex(signature.sig);
    if (bytes === undefined || !keys.some((key) => key.verifier?.verify(this.message, bytes))) {
      throw this.mismatch(`the signature of ${keyid.slice(0, 12)} is not over this content`, keyid);
    }
    const sig = hex(bytes);
    const present = this.pool.get(keyid);
    // From a signature, anyone can make another that verifies too (ECDSA: n − s). Which of the two is
    // kept must not depend on the order in which they came, or two people would pool different files.
    if (present !== undefined && present <= sig) return;
    this.pool.set(keyid, sig);
    this.composed = undefined;
  }

  /**
   * Pools the signatures of a file that came back from a signer. Those of keys that no demand lists are
   * left aside, as clients would.
   * @returns how many keys' signatures it brought
   * @throws BullaError signature-mismatch where it has other content, or a listed key's signature does
   *   not verify; content-invalid where it cannot be read
   */
  addFile(bytes: Uint8Array): number {
    const file = parseMetadataFile(bytes, this.role, DEFAULT_LIMITS.listedBytes);
    if (!equalBytes(file.message, this.message)) {
      throw this.mismatch('the signed file has other content than the one that was sent out', undefined);
    }
    const listed = file.signatures.filter(({ keyid }) => this.keysListedAs(keyid).length > 0);
    for (const signature of listed) this.add(signature);
    return listed.length;
  }

  private signatures(): readonly TufSignature[] {
    return [...this.pool]
      .map(([keyid, sig]) => ({ keyid, sig }))
      .sort((a, b) => compareCodePoints(a.keyid, b.keyid));
  }

  private keysListedAs(keyid: string): readonly TufKey[] {
    return [...this.demands, ...this.welcome].flatMap(({ keys, role }) => {
      const key = role.keyids.includes(keyid) ? keys.get(keyid) : undefined;
      return key?.verifier === undefined ? [] : [key];
    });
  }

  /** Ids under which a key is listed and has not signed: other tools count other fields for the id. */
  private openIdsOf(key: TufKey): readonly string[] {
    const isSame = (listed: TufKey | undefined) =>
      listed?.fingerprint === key.fingerprint && listed?.verifier?.algorithm === key.verifier?.algorithm;
    const keyids = [...this.demands, ...this.welcome].flatMap(({ keys, role }) =>
      role.keyids.filter((keyid) => isSame(keys.get(keyid)) && !this.pool.has(keyid)),
    );
    return key.verifier === undefined ? [] : [...new Set(keyids)];
  }

  private sealed(): BullaError {
    return new BullaError('usage', `metadata of ${JSON.stringify(this.role)} has all of its signatures`, {
      hint: 'the bytes of a version never change; a further signature belongs to the next version',
      details: { role: this.role },
    });
  }

  private unlisted(keyid: string): BullaError {
    return new BullaError(
      'untrusted-identity',
      `the key ${keyid.slice(0, 12)} may not sign metadata of ${JSON.stringify(this.role)}`,
      {
        hint: 'sign with one of the keys that the role lists',
        details: { role: this.role, keyid },
      },
    );
  }

  private mismatch(message: string, keyid: string | undefined): BullaError {
    return new BullaError('signature-mismatch', `metadata of ${JSON.stringify(this.role)}: ${message}`, {
      hint: 'export the file again and have exactly that one signed',
      details: { role: this.role, ...(keyid !== undefined && { keyid }) },
    });
  }
}

/**
 * Signs files with every signer that may. Each signer is asked once, for all of its files, and all of them at the
 * same time: where keys are kept elsewhere, that is what takes its time.
 * @returns how many signatures there were
 * @throws BullaError what the check of the signed content throws; then nothing was signed
 */
export async function signFiles(
  files: readonly PendingFile[],
  signers: Iterable<TufSigner>,
): Promise<number> {
  const work = distinct(signers)
    .map((signer) => ({ signer, wanted: files.filter((file) => file.wants(signer.key)) }))
    .filter(({ wanted }) => wanted.length > 0);
  for (const { wanted } of work) for (const file of wanted) file.assertSignable();
  const signed = await Promise.all(
    work.map(async ({ signer, wanted }) => {
      const signatures = await signMany(
        signer,
        wanted.map(({ message }) => message),
      );
      return { signer, wanted, signatures };
    }),
  );
  let count = 0;
  for (const { signer, wanted, signatures } of signed) {
    for (const [at, file] of wanted.entries()) file.addOf(signer.key, signatures[at] as Uint8Array);
    count += wanted.length;
  }
  return count;
}

/** Each key once, whatever ids it has: one signature of it is enough. */
function distinct(signers: Iterable<TufSigner>): readonly TufSigner[] {
  const byKey = new Map<string, TufSigner>();
  for (const signer of signers) {
    const { fingerprint, keyid, verifier } = signer.key;
    const name = fingerprint === undefined ? keyid : `${fingerprint} ${verifier?.algorithm?.id ?? ''}`;
    if (!byKey.has(name)) byKey.set(name, signer);
  }
  return [...byKey.values()];
}
