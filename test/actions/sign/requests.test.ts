import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ExistingSignatures } from '../../../src/actions/sign/existing.ts';
import { signImage } from '../../../src/actions/sign/signature.ts';
import { createSigner } from '../../../src/crypto/signer.ts';
import type { HttpEvent } from '../../../src/http/events.ts';
import type { Dialect, DialectStore } from '../../../src/registry/dialect.ts';
import { pushImage, tagOf } from '../../support/content.ts';
import { registryFor, repositoryOf } from '../../support/registry/open.ts';

const now = new Date('2026-12-01T00:00:00Z');
const key = createSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);

/** Counts requests, and how many of them had to wait for the end of another, one after the other. */
class Rounds {
  readonly requests: string[] = [];
  depth = 0;
  private ended = 0;
  private readonly depths = new Map<number, number>();

  readonly events = (event: HttpEvent): void => {
    if (event.type === 'request') {
      this.requests.push(`${event.method} ${new URL(event.url).pathname.replace(/^.*\/team\/app/, '')}`);
      // Looking for blobs happens beside other things, and decides nothing that they wait for.
      if (event.method === 'HEAD') return;
      this.depths.set(event.id, this.ended + 1);
      this.depth = Math.max(this.depth, this.ended + 1);
    } else if (event.type === 'end') {
      this.ended = Math.max(this.ended, this.depths.get(event.id) ?? 0);
    }
  };
}

/** What `bulla sign` asks of a registry that it has asked before. */
async function roundsOfSigning(referrersApi: boolean): Promise<Rounds> {
  const registry = await registryFor({ referrersApi });
  const known: Dialect = { referrers: referrersApi ? 'api' : 'fallback', head: 'works' };
  const dialects: DialectStore = { get: async () => known, set: async () => undefined };
  const rounds = new Rounds();
  for (const tag of ['before', 'v1']) {
    await pushImage(repositoryOf(registry), tag, tag);
    const target = repositoryOf(registry, {
      dialects,
      ...(tag === 'v1' && { http: { events: rounds.events } }),
    });
    const existing = new ExistingSignatures(target, {});
    const options = { name: tag, signer: key, now, agent: 'bulla/test', existing };
    await signImage(target, { tag: tagOf(tag) }, options);
    expect(
      await repositoryOf(registry).listReferrers((await target.resolve(tagOf(tag))).digest),
    ).toHaveLength(1);
  }
  return rounds;
}

describe('requests of signing one image', () => {
  it('are eight with the referrers API, seven of them one after the other', async () => {
    const { requests, depth } = await roundsOfSigning(true);
    // The image, its list; the envelope, its manifest; the list until it is certain to stay. `resolve` is the test's own.
    expect(requests.slice(0, -1).sort()).toEqual([
      expect.stringMatching(/^GET \/manifests\/v1$/),
      ...Array(3).fill(expect.stringMatching(/^GET \/referrers\//)),
      expect.stringMatching(/^HEAD \/blobs\/sha256:44136fa3/),
      'POST /blobs/uploads/',
      expect.stringMatching(/^PUT \/blobs\/uploads\//),
      expect.stringMatching(/^PUT \/manifests\//),
    ]);
    expect(depth).toBeLessThanOrEqual(7);
  });

  it('are at most ten after one another without it, of which claiming the list is none', async () => {
    const { requests, depth } = await roundsOfSigning(false);
    const of = (pattern: RegExp): number => requests.filter((request) => pattern.test(request)).length;
    // As found, claimed, before and after it was written; and the API in case the memory of the registry is old.
    expect(of(/^GET \/manifests\/sha256-/)).toBe(4);
    expect(of(/^GET \/referrers\//)).toBe(1);
    expect(of(/^PUT \/manifests\//)).toBe(2);
    // The envelope, and three marks.
    expect(of(/^POST \/blobs\/uploads\//)).toBe(4);
    // The empty blob; own marks before they are set; one of them and sixteen others afterwards.
    expect(of(/^HEAD \/blobs\//)).toBe(1 + 3 + 17);
    expect(depth).toBeLessThanOrEqual(10);
  });
});
