import { formatTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';
import { type NotaryRoot, parseNotaryRoot, sameStatement } from './content.ts';
import { type NotaryFile, parseNotaryFile } from './file.ts';
import type { NotaryKey } from './keys.ts';
import { isSignedByPinned, type NotaryPin, pinnedKeys, problemWithRootKey } from './pin.ts';
import type { NotarySource } from './source.ts';
import { assertNotaryThreshold, countNotarySignatures } from './threshold.ts';

/** Largest root metadata, in bytes. */
export const MAX_ROOT_BYTES: number = 1024 * 1024;
/** Most versions of root that are walked. */
const MAX_CHAIN = 1024;
/** All roots of a walk together, in bytes: an honest one has some kilobytes. */
const MAX_CHAIN_BYTES = 16 * MAX_ROOT_BYTES;
/** Versions that are asked for at the same time. */
const BATCH = 8;

/** A root that was read. */
export interface ReadRoot {
  readonly file: NotaryFile;
  readonly content: NotaryRoot;
}

/** The roots that were verified, from the trusted one to the newest. */
export interface RootChain {
  readonly newest: ReadRoot;
  /** Oldest first; the last is the newest. */
  readonly roots: readonly ReadRoot[];
}

/** Where trust begins. */
export interface RootStart {
  readonly gun: string;
  readonly pin: NotaryPin | undefined;
  /** The newest root that was trusted before. */
  readonly remembered: Uint8Array | undefined;
  /** When root certificates must be valid; undefined where expired ones are taken. */
  readonly validAt: Date | undefined;
}

/**
 * Verifies the chain of roots: from what is pinned, remembered, or there first, each root signed by a
 * threshold of the keys of the one before and of its own, to the newest. Expiry is the caller's.
 * @returns undefined where there is no root
 * @throws BullaError trust-unpinned, trust-invalid (a gap, a signature, a name, another root), trust-rollback,
 *   content-invalid, certificate-invalid, key-invalid (the pin); what the source throws
 */
export async function verifyRootChain(
  source: NotarySource,
  start: RootStart,
): Promise<RootChain | undefined> {
  const bytes = await source.fetch({ role: 'root' }, MAX_ROOT_BYTES);
  if (bytes === undefined) return undefined;
  const newest = readRoot(bytes);
  const walk = new Walk(source, start, newest);
  const { remembered, pin } = start;
  const known = remembered === undefined ? undefined : readRoot(remembered);
  const pinnedFrom = pin === undefined ? undefined : await walk.pinned(pin);
  if (known !== undefined) walk.assertNotOlder(known);
  if (pinnedFrom === undefined && known === undefined) throw unpinned(start.gun, newest);
  // A pin counts again at each visit, and what is remembered must lead to the newest as well.
  const chains: ReadRoot[][] = [];
  for (const from of [known, pinnedFrom]) if (from !== undefined) chains.push(await walk.follow(from));
  const roots = chains.reduce((a, b) => (a.length >= b.length ? a : b));
  return { newest, roots };
}

/** @throws BullaError content-invalid */
export function readRoot(bytes: Uint8Array): ReadRoot {
  const file = parseNotaryFile(bytes, 'root', MAX_ROOT_BYTES);
  return { file, content: parseNotaryRoot(file) };
}

class Walk {
  private readonly source: NotarySource;
  private readonly start: RootStart;
  private readonly newest: ReadRoot;
  private readonly fetched = new Map<number, Promise<ReadRoot | undefined>>();
  private left = MAX_CHAIN_BYTES;

  constructor(source: NotarySource, start: RootStart, newest: ReadRoot) {
    this.source = source;
    this.start = start;
    this.newest = newest;
    this.fetched.set(newest.content.version, Promise.resolve(newest));
  }

  /** The root that a pin says to trust, the newest that it fits. @throws BullaError trust-invalid, trust-rollback */
  async pinned(pin: NotaryPin): Promise<ReadRoot> {
    const { newest, start } = this;
    if (pin.kind === 'tofu') return newest;
    if (pin.kind === 'root') {
      const root = readRoot(pin.bytes);
      this.assertNotOlder(root);
      return root;
    }
    const isPinned = pinnedKeys(pin);
    for await (const root of this.descending(pin)) {
      if (!isSignedByPinned(root.file, root.content, isPinned, this.usable(undefined))) continue;
      if (pin.kind === 'ca' && start.validAt !== undefined) assertCertifiedAt(root, pin, start.validAt);
      return root;
    }
    throw otherRoot(start.gun, newest, pin);
  }

  /** Each root from `from` to the newest, verified. */
  async follow(from: ReadRoot): Promise<ReadRoot[]> {
    const { newest } = this;
    const last = newest.content.version;
    const roots = [from];
    this.assertSelfSigned(from);
    if (last - from.content.version > MAX_CHAIN) throw tooLong(last - from.content.version);
    for (let version = from.content.version + 1; version <= last; version++) {
      for (let ahead = version; ahead < version + BATCH && ahead <= last; ahead++) void this.load(ahead);
      const root = await this.load(version);
      if (root === undefined) throw gap(version, last);
      const before = roots.at(-1) as ReadRoot;
      const role = before.content.roles.get('root') as { keyids: readonly string[]; threshold: number };
      const delegator = `root version ${before.content.version}`;
      assertNotaryThreshold(root.file, before.content.keys, role, delegator, this.usable(undefined));
      this.assertSelfSigned(root);
      roots.push(root);
    }
    const end = roots.at(-1) as ReadRoot;
    if (!sameStatement(end.file, newest.file)) throw fork(last);
    return roots;
  }

  /** @throws BullaError trust-rollback, trust-invalid (another root of the same version) */
  assertNotOlder(known: ReadRoot): void {
    const [from, to] = [known.content.version, this.newest.content.version];
    if (to < from)
      throw new BullaError('trust-rollback', `root went back to version ${to}; version ${from} is trusted`, {
        hint: 'an old state of the repository is being served; use a server that is up to date',
        details: { role: 'root', from, to },
      });
    if (to === from && !sameStatement(known.file, this.newest.file)) throw fork(to);
  }

  private assertSelfSigned(root: ReadRoot): void {
    const role = root.content.roles.get('root') as { keyids: readonly string[]; threshold: number };
    const check = (validAt: Date | undefined): void =>
      assertNotaryThreshold(root.file, root.content.keys, role, 'it itself', this.usable(validAt));
    check(undefined);
    const { validAt } = this.start;
    if (validAt === undefined || root.content.version !== this.newest.content.version) return;
    try {
      check(validAt);
    } catch (cause) {
      throw certificateExpired(cause, validAt);
    }
  }

  private usable(validAt: Date | undefined): (key: NotaryKey) => string | undefined {
    return (key) => problemWithRootKey(key, this.start.gun, validAt);
  }

  /** The newest root, then older ones. An authority must certify the newest: it can certify each new key. */
  private async *descending({ kind }: NotaryPin): AsyncGenerator<ReadRoot> {
    const last = this.newest.content.version;
    yield this.newest;
    if (kind === 'ca') return;
    const first = Math.max(1, last - MAX_CHAIN);
    for (let version = last - 1; version >= first; version--) {
      for (let ahead = version; ahead > version - BATCH && ahead >= first; ahead--) void this.load(ahead);
      const root = await this.load(version);
      if (root === undefined) return;
      yield root;
    }
  }

  private load(version: number): Promise<ReadRoot | undefined> {
    let root = this.fetched.get(version);
    if (root === undefined) {
      root = this.fetch(version);
      root.catch(() => undefined);
      this.fetched.set(version, root);
    }
    return root;
  }

  private async fetch(version: number): Promise<ReadRoot | undefined> {
    const bytes = await this.source.fetch({ role: 'root', version }, MAX_ROOT_BYTES);
    if (bytes === undefined) return undefined;
    this.left -= bytes.byteLength;
    if (this.left < 0) throw tooMuch();
    const root = readRoot(bytes);
    if (root.content.version === version) return root;
    throw new BullaError('trust-invalid', `${version}.root.json holds version ${root.content.version}`, {
      hint: 'files were mixed up: the server is inconsistent, or the file was altered',
      details: { role: 'root', reason: 'version', expected: version, found: root.content.version },
    });
  }
}

/**
 * When the first certificate expired of a root whose certified keys do not suffice at `now`; undefined where they
 * do, or where it is not for expiry.
 */
export function certificatesExpired({ file, content }: ReadRoot, gun: string, now: Date): Date | undefined {
  const { keyids, threshold } = content.roles.get('root') ?? { keyids: [], threshold: 1 };
  const usable = (key: NotaryKey): string | undefined => problemWithRootKey(key, gun, now);
  if (countNotarySignatures(file, content.keys, keyids, usable).valid.length >= threshold) return undefined;
  const ends = keyids.flatMap((id) => content.keys.get(id)?.key?.certificates[0]?.notAfter ?? []);
  return ends.filter((end) => end < now).sort((a, b) => a.getTime() - b.getTime())[0];
}

/** A root key as a repository shows it. */
export interface RootKeyInfo {
  /** TUF id: over the certificate where there is one. */
  readonly keyid: string;
  /** Id of the bare key; names the file of the private key. */
  readonly keystoreId: string;
  readonly key: NotaryKey;
}

/** Root keys that can be used, in the order of the file. */
export function rootKeysOf(root: NotaryRoot): readonly RootKeyInfo[] {
  return (root.roles.get('root')?.keyids ?? []).flatMap((keyid) => {
    const key = root.keys.get(keyid)?.key;
    return key === undefined ? [] : [{ keyid, keystoreId: key.keystoreId, key }];
  });
}

function unpinned(gun: string, { content }: ReadRoot): BullaError {
  const keyIds = rootKeysOf(content).map(({ keyid }) => keyid);
  return new BullaError(
    'trust-unpinned',
    `no trust root configured for ${gun}, whose root keys are ${keyIds.join(' ') || 'unusable'}`,
    {
      hint: `compare the ids with what the publisher tells you, then give ${keyIds.map((id) => `--root-key-id ${id}`).join(' ') || '--root FILE'}`,
      details: { gun, rootVersion: content.version, keyIds },
    },
  );
}

function otherRoot(gun: string, { content }: ReadRoot, pin: NotaryPin): BullaError {
  const keyIds = rootKeysOf(content).map(({ keyid }) => keyid);
  return new BullaError(
    'trust-invalid',
    `no root of ${gun} is signed by a pinned key; root version ${content.version} has the keys ${keyIds.join(' ') || '(none usable)'}`,
    {
      hint: 'it is another repository, or its keys were rotated and the roots in between are not there: ask its publisher',
      details: { role: 'root', reason: 'pin', pin: pin.kind, keyIds },
    },
  );
}

function assertCertifiedAt({ file, content }: ReadRoot, pin: NotaryPin, validAt: Date): void {
  if (!isSignedByPinned(file, content, pinnedKeys(pin, validAt), () => undefined))
    throw certificateExpired(undefined, validAt);
}

function certificateExpired(cause: unknown, now: Date): BullaError {
  return new BullaError(
    'trust-expired',
    `the certificates of the root keys are not valid at ${formatTime(now)}`,
    {
      cause,
      hint: 'the root keys must get new certificates; check the clock of this machine too',
      details: { role: 'root', reason: 'certificate', now: formatTime(now) },
    },
  );
}

function gap(version: number, last: number): BullaError {
  return new BullaError(
    'trust-invalid',
    `${version}.root.json is missing, and the newest root is version ${last}`,
    {
      hint: 'the chain of roots is broken: get the missing file, or pin a newer root',
      details: { role: 'root', reason: 'missing', fileName: `${version}.root.json` },
    },
  );
}

function fork(version: number): BullaError {
  return new BullaError('trust-invalid', `there are two different roots of version ${version}`, {
    hint: 'the root that is served is not the one that was trusted: ask the publisher which is right',
    details: { role: 'root', reason: 'fork', version },
  });
}

function tooMuch(): BullaError {
  return new BullaError('content-invalid', `the chain of roots has more than ${MAX_CHAIN_BYTES} bytes`, {
    hint: 'no honest chain is that large; pin a newer root',
    details: { role: 'root' },
  });
}

function tooLong(count: number): BullaError {
  return new BullaError(
    'trust-invalid',
    `${count} roots lie between the trusted one and the newest, and ${MAX_CHAIN} are walked`,
    {
      hint: 'pin a newer root',
      details: { role: 'root', reason: 'chain' },
    },
  );
}
