import { createHash } from 'node:crypto';
import * as z from 'zod/mini';
import { type Certificate, parseCertificates } from '../../crypto/certificate.ts';
import { base64, fromBase64, utf8 } from '../../encoding/bytes.ts';
import { canonicalRfc8785 } from '../../encoding/canonical.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../encoding/json.ts';
import { formatTime, parseTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { describeIssues, listOf } from '../../oci/shape.ts';
import { assertKeyChoice, type KeyChoice } from '../../tuf/edit/key-list.ts';
import { VERSION_BITS } from '../../tuf/edit/policy.ts';
import { withFiles } from '../../tuf/edit/repository.ts';
import {
  type MissingSignatures,
  type PendingFile,
  type SignatureDemand,
  signFiles,
  type TufSigner,
} from '../../tuf/edit/signing.ts';
import { keyIdOf, TufKey } from '../../tuf/keys.ts';
import type { MetadataFile } from '../../tuf/metadata-file.ts';
import {
  type CollectionFiles,
  type NewCollection,
  prepareRoles,
  prepareRoot,
  unsigned,
} from '../change/create.ts';
import { describeChange } from '../change/describe-change.ts';
import { SKEW_MS } from '../change/log-start.ts';
import { type CollectionId, collectionIdOf } from '../format/binding.ts';
import { trustVersions } from '../format/versions.ts';
import { NAMES_ROLE } from '../format/vocabulary.ts';
import { checkCollectionName } from '../read/pin.ts';

/** Largest file of a beginning that is read or written, in bytes. */
export const MAX_BEGINNING_BYTES: number = 4 * 1024 * 1024;
const FORMAT = 'application/vnd.bulla.trust.beginning.v1+json';

/** Everything that a new collection is made of: the same wish makes the same files. */
export interface BeginningWish extends Omit<NewCollection, 'policy'> {
  /** What the versions of its files are drawn with: an integer below 2²⁶. */
  readonly draw: number;
}

const KEYED = ['root', 'names', 'online'] as const;
const FILES = ['root', 'targets', NAMES_ROLE] as const;

const time = z.string().check(z.refine((text) => parseTime(text) !== undefined, 'not a time'));
const content = z.string().check(z.refine((text) => fromBase64(text) !== undefined, 'not base64'));
const keySchema = z.custom<JsonObject>((value) => isJsonObject(value as never), 'expected an object');
const choice = z.strictObject({
  threshold: z.int().check(z.minimum(1), z.maximum(1024)),
  keys: listOf(keySchema, 1024),
});
const lifetime = z.optional(z.int().check(z.minimum(1), z.maximum(1e10)));
const shape = z.strictObject({
  format: z.literal(FORMAT),
  collection: z.string().check(z.maxLength(4096)),
  made: time,
  draw: z.int().check(z.minimum(0), z.maximum(2 ** VERSION_BITS - 1)),
  keys: z.strictObject({ root: choice, names: choice, online: choice }),
  lifetimes: z.strictObject({
    root: lifetime,
    targets: lifetime,
    names: lifetime,
    snapshot: lifetime,
    timestamp: lifetime,
  }),
  certificates: listOf(
    z.strictObject({ keyid: z.string().check(z.regex(/^[0-9a-f]{64}$/)), chain: listOf(content, 16) }),
    1024,
  ),
  files: z.strictObject({
    root: z.optional(content),
    targets: z.optional(content),
    names: z.optional(content),
  }),
});
/** Schema of the file of a beginning. */
export const beginningSchema: z.ZodMiniType<object> = shape;

/** Whether bytes are meant to be the file of a beginning, and not that of a change. */
export function isBeginning(bytes: Uint8Array, where: string, maxBytes: number): boolean {
  return parseJsonObject(bytes, { what: where, maxBytes })['format'] === FORMAT;
}

/**
 * A new collection on its way to the signatures of its root keys (spec/trust-roles.md, "The file of a beginning"). The
 * id of a collection is the hash of its signed first root, and its other files hold it: root is signed first, by as
 * many keys as it demands, then targets. `names` is signed where the collection is published.
 */
export class Beginning {
  readonly wish: BeginningWish;
  private readonly root: PendingFile;
  private roles: ReturnType<typeof prepareRoles> | undefined;

  /** @throws BullaError usage, key-invalid */
  constructor(wish: BeginningWish) {
    checkCollectionName(wish.name);
    for (const role of KEYED) assertKeyChoice(role, wish[role]);
    const { now, lifetimes = new Map<string, number>() } = wish;
    // The file has whole seconds, and must say the same when it is read again.
    this.wish = {
      ...wish,
      now: new Date(wholeSeconds(now.getTime())),
      lifetimes: new Map([...lifetimes].map(([role, ms]) => [role, Math.max(1000, wholeSeconds(ms))])),
    };
    this.root = prepareRoot(this.collection()).pendingFile('root');
  }

  /**
   * Reads a beginning. Its files are made anew from what is wished, and only signatures over exactly these are taken.
   * @param where names the file in messages
   * @throws BullaError content-invalid, key-invalid, signature-mismatch; trust-invalid where it is from the future
   */
  static parse(bytes: Uint8Array, where: string, now: Date): Beginning {
    const parsed = shape.safeParse(parseJsonObject(bytes, { what: where, maxBytes: MAX_BEGINNING_BYTES }));
    if (!parsed.success) throw malformed(where, describeIssues(parsed.error));
    const { collection: name, made, draw, keys, lifetimes, certificates, files } = parsed.data;
    const time = parseTime(made) as Date;
    if (time.getTime() > now.getTime() + SKEW_MS)
      throw new BullaError('trust-invalid', `${where} was made at ${made}, which is in the future`, {
        hint: 'set the clocks of both machines, and begin again',
      });
    const choices = Object.fromEntries(KEYED.map((role) => [role, readChoice(keys[role])]));
    const beginning = new Beginning({
      ...(choices as Record<(typeof KEYED)[number], KeyChoice>),
      ...{ name, draw, now: time },
      lifetimes: new Map(
        Object.entries(lifetimes).flatMap(([role, seconds]) =>
          seconds === undefined ? [] : [[role, seconds * 1000] as const],
        ),
      ),
      certificates: new Map(certificates.map(({ keyid, chain }) => [keyid, readChain(chain, where)])),
    });
    for (const role of FILES) beginning.take(role, files[role], where);
    return beginning;
  }

  /** `HOST/REPOSITORY` that the collection is for. */
  get name(): string {
    return this.wish.name;
  }

  /** Id of the collection; undefined until root has all of its signatures. */
  get id(): CollectionId | undefined {
    return this.roles === undefined ? undefined : collectionIdOf(this.root.file.bytes);
  }

  /** Id of everything that is agreed to, whatever is signed of it so far. */
  get digest(): string {
    const { files: _, ...wish } = this.json();
    return createHash('sha256').update(canonicalRfc8785(wish)).digest('hex');
  }

  /** What is signed, in sentences, complete: root, targets and `names`. */
  describe(): readonly string[] {
    const { prepared } = this.roles ?? prepareRoles(this.collection(), this.root.file);
    const id = collectionIdOf(this.root.file.bytes);
    return [
      ...describeChange(undefined, this.root.file),
      ...prepared.pending().flatMap(({ file }) => describeChange(undefined, file, id)),
    ];
  }

  /** The files that can be signed now. */
  files(): readonly PendingFile[] {
    return this.roles === undefined ? [this.root] : this.roles.prepared.pending();
  }

  /** {@link files}, and root where it has all of its signatures. */
  allFiles(): readonly PendingFile[] {
    return this.roles === undefined ? [this.root] : [this.root, ...this.files()];
  }

  /** Who may sign now. */
  allDemands(): readonly SignatureDemand[] {
    return this.files().flatMap(({ demands }) => demands);
  }

  /** How far each demand on the files that can be signed now is met. */
  progress(): readonly MissingSignatures[] {
    return this.files().flatMap((file) => file.progress());
  }

  /** What the keys of root still have to sign; of `names`, its own keys sign where it is published. */
  missing(): readonly MissingSignatures[] {
    return this.files()
      .filter(({ role }) => role !== NAMES_ROLE)
      .flatMap((file) => file.missing());
  }

  /** Ids of the keys whose signatures on root count. */
  rootSigners(): readonly string[] {
    return this.root.progress().flatMap(({ valid }) => valid);
  }

  /** Signs whatever the signers may, root first. @returns how many signatures there are more */
  async sign(signers: readonly TufSigner[]): Promise<number> {
    let count = 0;
    if (this.roles === undefined) {
      count += await signFiles([this.root], signers);
      this.goOn();
    }
    if (this.roles !== undefined) count += await signFiles(this.files(), signers);
    return count;
  }

  /**
   * The files of the collection, without snapshot and timestamp.
   * @param signers those of `names`
   * @throws BullaError threshold-not-met
   */
  async complete(signers: readonly TufSigner[]): Promise<CollectionFiles> {
    await signFiles(this.roles === undefined ? [] : this.files(), signers);
    const missing = this.files().filter((file) => file.missing().length > 0);
    if (this.roles === undefined || missing.length > 0) throw unsigned(missing.map(({ role }) => role));
    const root = this.root.file;
    return {
      id: collectionIdOf(root.bytes),
      files: withFiles(
        { roots: [root], roles: new Map() },
        this.files().map((file) => file.seal()),
      ),
      logs: new Map([[NAMES_ROLE, this.roles.log]]),
    };
  }

  /** The bytes of the file. */
  encode(): Uint8Array {
    return utf8(`${JSON.stringify(this.json(), undefined, 2)}\n`);
  }

  private collection(): NewCollection {
    return { ...this.wish, policy: { versions: trustVersions(() => this.wish.draw) } };
  }

  /** Root has all of its signatures: its bytes are fixed, and with them the id. */
  private goOn(): void {
    if (this.root.missing().length > 0) return;
    this.roles = prepareRoles(this.collection(), this.root.seal());
  }

  private take(role: string, text: string | undefined, where: string): void {
    if (text === undefined) return;
    const file = this.files().find((one) => one.role === role);
    if (file === undefined) throw malformed(where, `${role} is signed, and root is not yet`);
    file.addFile(fromBase64(text) as Uint8Array);
    if (role === 'root') this.goOn();
  }

  private json() {
    const { name, draw, now, lifetimes = new Map(), certificates = new Map() } = this.wish;
    const written = (file: MetadataFile): string | undefined =>
      file.signatures.length === 0 ? undefined : base64(file.bytes);
    return {
      format: FORMAT,
      collection: name,
      made: formatTime(now),
      draw,
      keys: Object.fromEntries(
        KEYED.map((role) => [
          role,
          { threshold: this.wish[role].threshold, keys: this.wish[role].keys.map(({ json }) => json) },
        ]),
      ),
      lifetimes: Object.fromEntries([...lifetimes].map(([role, ms]) => [role, ms / 1000])),
      certificates: [...certificates].map(([keyid, chain]) => ({
        keyid,
        chain: (chain as readonly Certificate[]).map(({ der }) => base64(der)),
      })),
      files: Object.fromEntries(
        this.allFiles().flatMap(({ role, file }) => {
          const text = written(file);
          return text === undefined ? [] : [[role, text]];
        }),
      ),
    };
  }
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

function readChoice({ threshold, keys }: z.infer<typeof choice>): KeyChoice {
  return { threshold, keys: keys.map((json) => new TufKey(keyIdOf(json), json)) };
}

function readChain(chain: readonly string[], where: string): readonly Certificate[] {
  return parseCertificates(
    chain.map((text) => fromBase64(text) as Uint8Array),
    where,
  );
}

function malformed(where: string, why: string): BullaError {
  return new BullaError('content-invalid', `${where} is not the beginning of a collection: ${why}`, {
    hint: 'it is what bulla ceremony begin wrote; begin again',
  });
}
