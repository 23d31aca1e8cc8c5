import { describe, expect, it } from 'vitest';
import { admit, type Hook } from '../../../src/actions/gate/admit.ts';
import { admittedUnseen, answerTo, deniedAsBroken } from '../../../src/actions/gate/answer.ts';
import { parseReview, type Review } from '../../../src/actions/gate/review.ts';
import { parseImage, refusedBy, type Verdict } from '../../../src/actions/gate/verdict.ts';
import { BullaError } from '../../../src/errors.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import type { PolicyMode } from '../../../src/policy/file/policy.ts';
import { podOf, review } from './reviews.ts';

const DIGEST = `sha256:${'a'.repeat(64)}` as Digest;
const OTHER = `sha256:${'b'.repeat(64)}` as Digest;
const verified = (mode: PolicyMode = 'enforce'): Verdict => ({
  ...{ outcome: 'verified', scope: 'r.example/*', mode, digest: DIGEST, signers: ['role names'] },
});
const refused = (
  mode: PolicyMode = 'enforce',
  code: 'unsigned' | 'registry-unreachable' = 'unsigned',
): Verdict =>
  refusedBy(new BullaError(code, 'it is not', { hint: 'do this' }), { scope: 'r.example/*', mode });

const of = (object: object): Review => parseReview(review({ object }), []) as Review;
const decide = (hook: Hook, verdict: Verdict, ...images: string[]) =>
  admit(of(podOf(...images)), hook, async () => verdict);

describe('the webhook that changes', () => {
  it.each([
    ['r.example/app:1', `r.example/app:1@${DIGEST}`],
    ['r.example/app', `r.example/app:latest@${DIGEST}`],
    ['nginx', `nginx:latest@${DIGEST}`],
    ['localhost:5000/app:1', `localhost:5000/app:1@${DIGEST}`],
  ])('writes the verified digest behind %s', async (image, pinned) => {
    const { allowed, patch } = await decide('mutate', verified(), image);
    expect(allowed).toBe(true);
    expect(patch).toEqual([{ op: 'replace', path: '/spec/containers/0/image', value: pinned }]);
    // What it has written, it leaves as it is.
    expect(await decide('mutate', verified(), pinned)).toMatchObject({ allowed: true, patch: [] });
  });

  it.each<[string, Verdict]>([
    ['only validates', verified('validate-only')],
    ['only audits', verified('audit')],
    ['only audits, and refuses', refused('audit')],
    [
      'allows without verification',
      { outcome: 'allowed', mode: 'enforce', scope: 'r.example/*', signers: [] },
    ],
  ])('changes nothing by a rule that %s', async (_, verdict) => {
    expect(await decide('mutate', verdict, 'r.example/app:1')).toMatchObject({ allowed: true, patch: [] });
  });

  it('asks once about an image that stands in many places, and patches all of them', async () => {
    let asked = 0;
    const images = Array.from({ length: 100 }, () => 'r.example/app:1');
    const admission = await admit(of(podOf(...images)), 'mutate', async () => {
      asked++;
      return verified();
    });
    expect(asked).toBe(1);
    expect(admission.patch).toHaveLength(100);
  });

  it('leaves what Istio fills in to the one that validates', async () => {
    expect(await decide('mutate', refused(), 'auto')).toMatchObject({ allowed: true, patch: [] });
    expect(await decide('validate', refused(), 'auto')).toMatchObject({ allowed: false });
  });

  it('patches nothing where one image is denied', async () => {
    const admission = await admit(
      of(podOf('r.example/good:1', 'r.example/bad:1')),
      'mutate',
      async ({ text }) => (text.includes('good') ? verified() : refused()),
    );
    expect(admission).toMatchObject({ allowed: false, patch: [] });
  });
});

describe('the webhook that validates', () => {
  it('takes the verified digest, and no tag', async () => {
    expect(await decide('validate', verified(), `r.example/app:1@${DIGEST}`)).toMatchObject({
      allowed: true,
    });
    expect(await decide('validate', verified(), `r.example/app@${DIGEST}`)).toMatchObject({ allowed: true });
    for (const mode of ['enforce', 'validate-only'] as const) {
      const { allowed, refusal } = await decide('validate', verified(mode), 'r.example/app:1');
      expect(allowed).toBe(false);
      expect(refusal?.message).toContain(`write r.example/app:1@${DIGEST}`);
    }
  });

  it('attack: a digest other than the verified one', async () => {
    expect(await decide('validate', verified(), `r.example/app:1@${OTHER}`)).toMatchObject({
      allowed: false,
    });
  });

  it('says to the developer what, where, why, and what to do', async () => {
    const { refusal } = await decide('validate', refused(), 'r.example/app:1');
    expect(refusal).toEqual({
      code: 403,
      message: 'Pod/web is denied: containers/c0: it is not [unsigned] (do this)',
    });
  });

  it('asks to try again where nothing is known', async () => {
    expect(
      await decide('validate', refused('enforce', 'registry-unreachable'), 'r.example/app:1'),
    ).toMatchObject({
      allowed: false,
      refusal: { code: 503 },
    });
  });

  it('an audited image passes with a warning that is not too long, whatever is wrong with it', async () => {
    for (const code of ['unsigned', 'registry-unreachable'] as const) {
      const images = Array.from({ length: 30 }, (_, at) => `r.example/${'very-long/'.repeat(12)}app${at}:1`);
      const { allowed, warnings } = await decide('validate', refused('audit', code), ...images);
      expect(allowed).toBe(true);
      expect(warnings).toHaveLength(8);
      for (const warning of warnings) expect(warning.length).toBeLessThanOrEqual(120);
    }
  });

  it('warns of a tag that was moved, while what was signed runs', async () => {
    const drifted: Verdict = { ...verified(), isDrifted: true };
    expect((await decide('mutate', drifted, 'r.example/app:1')).warnings).toEqual([
      expect.stringContaining('the tag was moved'),
    ]);
  });

  it('bounds what it says, and says it on one line', async () => {
    const evil = new BullaError('unsigned', `a\u001b[2Jb\nc\u202ed${'x'.repeat(2_000)}`);
    const images = Array.from({ length: 500 }, (_, at) => `r.example/app${at}:1`);
    const { refusal, auditAnnotations } = await decide(
      'validate',
      refusedBy(evil, { mode: 'enforce' }),
      ...images,
    );
    expect(refusal?.message.length).toBeLessThanOrEqual(3_000);
    expect(refusal?.message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(JSON.stringify(auditAnnotations).length).toBeLessThan(20_000);
    expect(JSON.parse(auditAnnotations['images'] ?? '')).not.toHaveLength(0);
  });

  it('names rule, digest and signers for the audit log of the API server', async () => {
    const { auditAnnotations } = await decide('validate', verified(), `r.example/app:1@${DIGEST}`);
    expect(auditAnnotations['decision']).toBe('allowed');
    expect(JSON.parse(auditAnnotations['images'] ?? '')).toMatchObject([
      { place: 'containers/c0', rule: 'r.example/*', digest: DIGEST, signers: ['role names'] },
    ]);
  });
});

describe('attack: an image that could be read in two ways', () => {
  it.each([
    ['a homoglyph in the host', 'registry.exаmple/app:1'],
    ['a homoglyph in the repository', 'r.example/аpp:1'],
    ['full-width letters', 'r.example/ａpp:1'],
    ['a zero-width space', 'r.example/app\u200b:1'],
    ['an upper-case repository', 'r.example/App:1'],
    ['blanks around it', ' r.example/app:1'],
    ['a blank at its end', 'r.example/app:1 '],
    ['a scheme', 'https://r.example/app:1'],
    ["skopeo's scheme", 'docker://r.example/app:1'],
    ['a layout', 'oci:/etc/passwd'],
    ['an archive', 'oci-archive:/x.tar'],
    ['user information', 'r.example@evil.example/app:1'],
    ['a port that is none', 'r.example:99999/app:1'],
    ['a port with zeros', 'r.example:0443/app:1'],
    ['a port without a number', 'r.example:/app:1'],
    ['a host as one number', '2130706433:5000/app:1'],
    ['an octal address', '0177.0.0.1/app:1'],
    ['a dot at the end of the host', 'r.example./app:1'],
    ['a path upwards', 'r.example/../evil/app:1'],
    ['two slashes', 'r.example//app:1'],
    ['two digests', `r.example/app@${DIGEST}@${OTHER}`],
    ['a digest in upper case', `r.example/app@sha256:${'A'.repeat(64)}`],
    ['a short digest', 'r.example/app@sha256:aa'],
    ['a digest of another kind', `r.example/app@md5:${'a'.repeat(32)}`],
    ['a percent escape', 'r.example/%61pp:1'],
    ['a query', 'r.example/app:1?x'],
    ['a line break', 'r.example/app:1\nr.example/evil:1'],
    ['nothing but a host', 'r.example/'],
  ])('%s is denied, and no registry is asked', async (_, image) => {
    let asked = 0;
    const admission = await admit(of(podOf(image)), 'validate', async () => {
      asked++;
      return verified();
    });
    expect(admission).toMatchObject({ allowed: false, refusal: { code: 403 } });
    expect(asked).toBe(0);
  });

  it.each([
    ['R.EXAMPLE/app:1', 'r.example'],
    ['r.example:443/app:1', 'r.example:443'],
    ['index.docker.io/library/nginx:1', 'docker.io'],
    ['nginx', 'docker.io'],
  ])('%s is of the host that nodes pull it from', (image, host) => {
    expect(parseImage(image).reference.registry).toBe(host);
  });
});

describe('answers', () => {
  it('has a patch with its type, or neither', async () => {
    const pinned = JSON.parse(answerTo('u', await decide('mutate', verified(), 'r.example/app:1')));
    expect(pinned).toMatchObject({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid: 'u', allowed: true, patchType: 'JSONPatch' },
    });
    expect(JSON.parse(Buffer.from(pinned.response.patch, 'base64').toString())).toHaveLength(1);
    const denied = JSON.parse(answerTo('u', await decide('mutate', refused(), 'r.example/app:1')));
    expect(Object.keys(denied.response)).toEqual(['uid', 'allowed', 'status', 'auditAnnotations']);
    const validated = JSON.parse(
      answerTo('u', await decide('validate', verified(), `r.example/app@${DIGEST}`)),
    );
    expect(Object.keys(validated.response)).toEqual(['uid', 'allowed', 'auditAnnotations']);
  });

  it('denies what it does not understand, and admits everything only in an emergency', () => {
    const broken = { uid: 'u', error: new BullaError('content-invalid', 'it is odd') };
    expect(JSON.parse(answerTo('u', deniedAsBroken(broken))).response).toMatchObject({
      allowed: false,
      status: { code: 400 },
    });
    expect(JSON.parse(answerTo('u', admittedUnseen(), ['loud'])).response).toMatchObject({
      allowed: true,
      warnings: ['loud'],
    });
  });
});
