import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseJson } from '../src/encoding/json.ts';
import { BullaError, isBullaError, MAX_SHOWN, messageOf, shown } from '../src/errors.ts';
import { digestOf } from '../src/oci/digest.ts';
import { mediaTypeOfManifest, parseManifest } from '../src/oci/manifest.ts';
import { MEDIA_TYPES } from '../src/oci/media-types.ts';
import { parseReference } from '../src/oci/reference.ts';
import { parseReferrersIndex } from '../src/oci/referrers.ts';
import { checkRealm } from '../src/registry/realm.ts';
import { parseToken } from '../src/registry/token.ts';
import { bulla, temporaryDirectory } from './support/cli.ts';
import { tagOf } from './support/content.ts';
import { codeOf, registryFor, repositoryOf } from './support/registry/open.ts';

const HUGE = 'x'.repeat(3 * 1024 * 1024);
/** Clears the screen, turns the line around, begins a new one, hides. */
const NASTY = 'a\u001b[2J\u202eb\nerror: c\u0000\u200b\u2028\u009b31m';
const HARMFUL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

function errorOf(work: () => unknown): BullaError {
  try {
    work();
  } catch (error) {
    if (isBullaError(error)) return error;
    throw error;
  }
  throw new Error('no error');
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function manifest(fields: Readonly<Record<string, unknown>>, mediaType: string = MEDIA_TYPES.ociManifest) {
  const bytes = json({ schemaVersion: 2, ...fields });
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength } };
}

const PLACES: readonly [string, (text: string) => unknown][] = [
  ['a media type', (text) => parseManifest(manifest({ mediaType: text }))],
  ['an artifact type', (text) => parseManifest(manifest({ artifactType: text }))],
  [
    'a digest',
    (text) => parseManifest(manifest({ config: { mediaType: 'a/b', digest: text, size: 1 }, layers: [] })),
  ],
  [
    'a name of a member',
    (text) => parseJson(Buffer.from(`{${JSON.stringify(text)}:1,${JSON.stringify(text)}:2}`), { what: 'x' }),
  ],
  ['a schema', (text) => mediaTypeOfManifest(json({ [text]: 1 }), 'x')],
  [
    'a list of referrers',
    (text) => parseReferrersIndex(json({ schemaVersion: 2, manifests: [{ mediaType: text }] }), 'x'),
  ],
  ['a realm', (text) => checkRealm(text, new URL('https://registry.example.com'), () => false)],
  ['a reference', (text) => parseReference(`registry.example.com/${text}`)],
  ['a token', (text) => parseToken(json({ token: text }), 'registry.example.com')],
  ['a name for a document', (text) => parseJson(Buffer.from('{'), { what: text })],
];

describe('an error about text from outside', () => {
  it.each(PLACES)('is short, whatever is in %s', (_, read) => {
    const error = errorOf(() => read(HUGE));
    const whole = JSON.stringify([error.message, error.hint, error.details]);
    expect(whole.length).toBeLessThan(2 * MAX_SHOWN);
  });

  it.each(PLACES)('holds nothing harmful, whatever is in %s', (_, read) => {
    const error = errorOf(() => read(NASTY));
    expect(error.message).not.toMatch(HARMFUL);
    expect(error.hint ?? '').not.toMatch(HARMFUL);
  });

  it('keeps what is said about a word that is too long', () => {
    const { message, hint, details } = new BullaError(
      'content-invalid',
      `it was served as ${HUGE} and is not`,
      {
        hint: HUGE,
        details: { found: HUGE, list: [HUGE, { deep: HUGE }] },
      },
    );
    expect(message).toMatch(/^it was served as x+…\(3145728 characters\) and is not$/);
    expect(JSON.stringify([message, hint, details]).length).toBeLessThan(2_000);
  });

  it('keeps both ends of many words', () => {
    const text = shown(`begin ${'word '.repeat(1_000_000)}end`);
    expect(text.length).toBeLessThanOrEqual(MAX_SHOWN);
    expect(text).toMatch(/^begin .* end$/);
  });

  it('is short where it wraps what is not ours', () => {
    expect(messageOf(new Error(HUGE)).length).toBeLessThan(MAX_SHOWN);
    expect(messageOf(NASTY)).not.toMatch(HARMFUL);
  });

  it.each(['status', 'warning', 'www-authenticate'])(
    'is short where a registry says it: %s',
    async (where) => {
      const registry = await registryFor();
      const text = `${'y'.repeat(30_000)}\u001b[2J`.replaceAll(/[^ -~]/g, '');
      const headers = {
        [where === 'status' ? 'x-a' : where]:
          where === 'warning' ? `299 - "${text}"` : `Bearer realm="${text}"`,
      };
      const body = json({ errors: [{ code: 'DENIED', message: NASTY + HUGE.slice(0, 60_000) }] });
      registry.fault({
        path: /manifests/,
        action: { status: where === 'status' ? 403 : 401, headers, body },
      });
      const target = repositoryOf(registry);
      const work = target.fetchManifest(tagOf('v1'));
      const error = await work.catch((found: unknown) => found as BullaError);
      expect(await codeOf(work)).not.toBe('success');
      expect((error as BullaError).message.length).toBeLessThan(1_000);
      expect((error as BullaError).message).not.toMatch(HARMFUL);
    },
  );
});

describe('the command', () => {
  it.each([[[]], [['-o', 'json']], [['--trace']]])('says little of 3 MB, with %j', async (more) => {
    const home = await temporaryDirectory();
    const layout = join(home, 'layout');
    const { bytes, descriptor } = manifest({ mediaType: HUGE, note: NASTY });
    mkdirSync(join(layout, 'blobs', 'sha256'), { recursive: true });
    writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    writeFileSync(join(layout, 'blobs', 'sha256', descriptor.digest.slice(7)), bytes);
    const annotations = { 'org.opencontainers.image.ref.name': 'v1' };
    writeFileSync(
      join(layout, 'index.json'),
      json({ schemaVersion: 2, manifests: [{ ...descriptor, annotations }] }),
    );
    const { code, stdout, stderr } = await bulla(['inspect', `oci:${layout}:v1`, ...more]);
    expect(code).toBe(40);
    expect(stdout.length + stderr.length).toBeLessThan(40_000);
  });
});
