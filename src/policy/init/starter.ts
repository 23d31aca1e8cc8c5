import { isDeepStrictEqual } from 'node:util';
import { subjectOf } from '../../crypto/certificate.ts';
import { publicKeyPem, shortFingerprint } from '../../crypto/public-key.ts';
import { formatTime } from '../../encoding/time.ts';
import { BullaError } from '../../errors.ts';
import { RELEASE_PURPOSE } from '../../signatures/formats.ts';
import { predicateLabel, predicateType } from '../../signatures/predicates.ts';
import { parsePolicy } from '../file/parse.ts';
import { PUBLISHERS } from '../file/publishers.ts';
import { KIND_NAMES } from '../summary.ts';
import type { FoundSigner, ImageInUse, SignerIdentity, UnconfirmedSignature } from './found.ts';

export interface StarterOptions {
  /** Trusted root of the Sigstore instance, as a policy names it; undefined for the public-good instance. */
  readonly trustedRoot?: string | undefined;
  readonly now: Date;
}

/** Most suggestions for one repository, and most remarks about one image. */
const MAX_SUGGESTED = 20;
const MAX_REMARKS = 10;
/** Longest text of others in a comment, and in a suggestion, in characters. */
const MAX_REMARK = 300;
const MAX_VALUE = 2000;

/**
 * A first policy: a rule for each repository in use that denies it, and what a person may confirm as comments. As it is
 * written it accepts nothing; what signatures say can only ever be a quoted text or a comment in it
 * (spec/policy.md, "First policy").
 */
export function starterPolicy(images: readonly ImageInUse[], options: StarterOptions): string {
  const places = new Map<string, ImageInUse[]>();
  for (const image of images) {
    const same = places.get(image.place);
    if (same === undefined) places.set(image.place, [image]);
    else same.push(image);
  }
  const lines = [
    ...headerLines(options.now),
    'version: 1',
    places.size === 0 ? 'rules: []' : 'rules:',
    ...[...places].flatMap(([place, own]) => [...ruleLines(place, own, options)]),
  ];
  const text = `${lines.join('\n')}\n`;
  assertDenies(text, places.size);
  return text;
}

function headerLines(now: Date): string[] {
  return [
    `# Written by bulla policy init at ${formatTime(now)}.`,
    '#',
    '# It denies every image below until you confirm who signs it. What is proposed was found beside the images,',
    '# where every account that can push can put a signature. So ask the publisher who signs, not the registry. Then:',
    '#',
    '# 1. remove the line "deny: ...", and the "# " before the lines that you confirm (what follows "# #" is a remark);',
    '# 2. of the entries of one "signatures" or "attestations", all are demanded; of the signers in one entry, one;',
    '# 3. run: bulla policy check FILE, and bulla policy explain REFERENCE --policy FILE',
    '',
  ];
}

/** Read again as the policy that it is, before anyone relies on it. @throws BullaError internal */
function assertDenies(text: string, count: number): void {
  const { rules, mode, sets } = parsePolicy(text, 'the new policy');
  const isSafe = rules.length === count && rules.every((rule) => rule.deny !== undefined);
  if (isSafe && mode === undefined && sets === undefined) return;
  throw new BullaError('internal', 'the new policy would accept something', {
    hint: 'please report this with the images that it was made for',
  });
}

function* ruleLines(
  place: string,
  images: readonly ImageInUse[],
  options: StarterOptions,
): Generator<string> {
  yield `  - scope: ${quoted(place)}`;
  yield '    deny: "not confirmed: see the comments below"';
  for (const image of images) for (const line of imageLines(image)) yield remark(line);
  const suggested = suggestions(images);
  for (const line of suggestionLines(suggested, images, options)) yield `    # ${line}`;
}

/** What was found, a line each: for people. */
function* imageLines(image: ImageInUse): Generator<string> {
  const { text, digest, failure, signers, unconfirmed, unexamined, collection } = image;
  yield `${text}${digest === undefined || text.includes(digest) ? '' : ` (${digest})`}`;
  if (failure !== undefined) {
    yield `  could not be looked at [${failure.code}]: ${failure.message}`;
    return;
  }
  for (const signer of signers.slice(0, MAX_REMARKS)) yield `  ${signerText(signer)}`;
  if (signers.length > MAX_REMARKS) yield `  and ${signers.length - MAX_REMARKS} more`;
  for (const each of unconfirmed.slice(0, MAX_REMARKS)) yield `  stays unverified: ${unconfirmedText(each)}`;
  if (unconfirmed.length > MAX_REMARKS)
    yield `  and ${unconfirmed.length - MAX_REMARKS} more that stay unverified`;
  if (unexamined > 0) yield `  ${unexamined} more signatures are listed and were not looked at`;
  if (collection !== undefined)
    yield 'failure' in collection
      ? `  beside it is a trust collection that cannot be used [${collection.failure.code}]: ${collection.failure.message}`
      : '  beside it is a trust collection, in which names may be signed';
  if (signers.length === 0 && (collection === undefined || 'failure' in collection))
    yield `  stays unverified: ${unconfirmed.length === 0 ? 'it has no signature' : 'no signature verifies (keys are tried with --key FILE)'}; sign it, or write instead of deny: allow: "WHY"`;
}

function signerText({ identity, kind, purpose }: FoundSigner): string {
  const what = purpose === RELEASE_PURPOSE ? '' : `, attests ${predicateLabel(purpose) ?? purpose}`;
  return `${KIND_NAMES[kind]} by ${identityText(identity)}${what}${publisherOf(identity)}`;
}

/** The name of the publisher with this identity, for a policy. */
function publisherOf(identity: SignerIdentity): string {
  const found = [...PUBLISHERS].find(([, { keyless, keys }]) =>
    identity.kind === 'keyless'
      ? keyless.some((known) =>
          isDeepStrictEqual(known, { identity: identity.subject, issuer: identity.issuer }),
        )
      : identity.kind === 'key' && keys.includes(publicKeyPem(identity.key)),
  );
  return found === undefined ? '' : `; known as publishers: [${found[0]}] (${found[1].source})`;
}

function identityText(identity: SignerIdentity): string {
  if (identity.kind === 'key') return `key ${shortFingerprint(identity.key)}`;
  if (identity.kind === 'keyless') return `${identity.subject} (${identity.issuer})`;
  return `${identity.subject.replace('x509.subject: ', '')}, certified by ${subjectOf(identity.authority)}`;
}

function unconfirmedText({ kind, claims, code, message }: UnconfirmedSignature): string {
  const what = kind === null ? 'something' : KIND_NAMES[kind];
  return `${what}${claims === null ? '' : ` that says it is by ${claims}`} [${code}]: ${message}`;
}

/** Signers of the same purpose, by what a policy would say of them: those of one entry are alternatives. */
interface Suggestions {
  /** By purpose, then by what an entry has in common, then by what it says. */
  readonly entries: ReadonlyMap<string, ReadonlyMap<string, ReadonlyMap<string, SignerIdentity>>>;
  readonly left: number;
}

function suggestions(images: readonly ImageInUse[]): Suggestions {
  const entries = new Map<string, Map<string, Map<string, SignerIdentity>>>();
  let [count, left] = [0, 0];
  for (const { identity, purpose } of images.flatMap(({ signers }) => signers)) {
    const [entry, value] = placesOf(identity);
    if (entries.get(purpose)?.get(entry)?.has(value) === true) continue;
    if (count === MAX_SUGGESTED || value.length > MAX_VALUE || !canDemand(purpose)) {
      left++;
      continue;
    }
    count++;
    const ofPurpose = entries.get(purpose) ?? new Map<string, Map<string, SignerIdentity>>();
    const ofEntry = ofPurpose.get(entry) ?? new Map<string, SignerIdentity>();
    entries.set(purpose, ofPurpose.set(entry, ofEntry.set(value, identity)));
  }
  return { entries, left };
}

/** Identities restrict all authorities of an entry: each authority has one of its own. */
function placesOf(identity: SignerIdentity): readonly [entry: string, value: string] {
  if (identity.kind === 'key') return ['keys', identity.key.fingerprint];
  if (identity.kind === 'keyless') return ['keyless', JSON.stringify([identity.subject, identity.issuer])];
  return [identity.authority.thumbprint, identity.subject];
}

/** Whether a policy can name this purpose as it is. */
function canDemand(purpose: string): boolean {
  if (purpose === RELEASE_PURPOSE) return true;
  try {
    return predicateType(purpose) === purpose;
  } catch {
    return false;
  }
}

function* suggestionLines(
  { entries, left }: Suggestions,
  images: readonly ImageInUse[],
  options: StarterOptions,
): Generator<string> {
  if (left > 0) yield `# ${left} more signers are not proposed here: bulla signature ls shows them`;
  yield* trustLines(images);
  const of = (isRelease: boolean) =>
    [...entries].filter(([purpose]) => (purpose === RELEASE_PURPOSE) === isRelease);
  for (const [, byEntry] of of(true)) {
    yield 'signatures:';
    for (const identities of byEntry.values())
      yield* listItem([...entryLines([...identities.values()], options)]);
  }
  if (of(false).length > 0) yield 'attestations:';
  for (const [purpose, byEntry] of of(false))
    for (const identities of byEntry.values())
      yield* listItem([`type: ${quoted(purpose)}`, ...entryLines([...identities.values()], options)]);
}

function* trustLines(images: readonly ImageInUse[]): Generator<string> {
  const ids = images.flatMap(({ collection }) =>
    collection !== undefined && 'rootKeyIds' in collection ? collection.rootKeyIds : [],
  );
  if (ids.length === 0) return;
  yield 'trust:';
  yield '  root:';
  yield '    keyIds:';
  for (const id of [...new Set(ids)].slice(0, MAX_SUGGESTED)) yield `      - ${quoted(id)}`;
}

function listItem(lines: readonly string[]): string[] {
  return lines.map((line, at) => `${at === 0 ? '  - ' : '    '}${line}`);
}

function* entryLines(
  identities: readonly SignerIdentity[],
  { trustedRoot }: StarterOptions,
): Generator<string> {
  const [first] = identities;
  if (first === undefined) return;
  switch (first.kind) {
    case 'key':
      yield 'keys:';
      for (const identity of identities)
        if (identity.kind === 'key') {
          yield `  # SHA-256 of the key: ${identity.key.fingerprint}`;
          yield `  - ${quoted(publicKeyPem(identity.key))}`;
        }
      return;
    case 'certificate':
      yield 'authorities:';
      yield `  # ${asciiOf(subjectOf(first.authority))}`;
      yield `  # SHA-256 of the certificate: ${first.authority.thumbprint}, valid until ${formatTime(first.authority.notAfter)}`;
      yield `  - ${quoted(first.authority.x509.toString())}`;
      yield 'identities:';
      for (const identity of identities)
        if (identity.kind === 'certificate') yield `  - ${quoted(identity.subject)}`;
      return;
    case 'keyless':
      yield 'keyless:';
      for (const identity of identities)
        if (identity.kind === 'keyless') {
          yield `  - identity: ${quoted(identity.subject)}`;
          yield `    issuer: ${quoted(identity.issuer)}`;
        }
      if (trustedRoot !== undefined) yield `trustedRoot: ${quoted(trustedRoot)}`;
  }
}

/** A remark stays one if "# " before it is removed by mistake. */
function remark(text: string): string {
  return `    # # ${asciiOf(text)}`;
}

/** A value in YAML: one line of ASCII in double quotes, in which letters that look like others are seen. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(NOT_PLAIN, escaped);
}

/** A text in a comment: one line of ASCII that ends somewhere. */
function asciiOf(text: string): string {
  const shown = text.replace(NOT_PLAIN, escaped);
  return shown.length > MAX_REMARK ? `${shown.slice(0, MAX_REMARK)}...` : shown;
}

const NOT_PLAIN = /[^ -~]/g;

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
