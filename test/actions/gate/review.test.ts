import { describe, expect, it } from 'vitest';
import { MAX_REVIEW_BYTES, parseReview, type Review } from '../../../src/actions/gate/review.ts';
import { MAX_WORKLOAD_IMAGES } from '../../../src/actions/gate/workload.ts';
import { parseImagePath } from '../../../src/actions/verify/image-places.ts';
import { podOf, podSpec, review } from './reviews.ts';

const parse = (request: Record<string, unknown>, paths: readonly string[] = []): Review => {
  const parsed = parseReview(review(request), paths.map(parseImagePath));
  if ('error' in parsed) throw parsed.error;
  return parsed;
};
const imagesOf = (request: Record<string, unknown>, paths?: readonly string[]): string[] =>
  parse(request, paths).images.map(({ image }) => image);
const kind = (group: string, version: string, name: string) => ({ kind: { group, version, kind: name } });

const EVERYWHERE = {
  initContainers: [{ name: 'i', image: 'r.example/init:1' }],
  containers: [{ name: 'c', image: 'r.example/app:1' }, { name: 'without' }],
  ephemeralContainers: [{ name: 'e', image: 'r.example/debug:1' }],
  volumes: [
    { name: 'v', image: { reference: 'r.example/data:1' } },
    { name: 'w', emptyDir: {} },
  ],
  imagePullSecrets: [{ name: 'pull' }],
};
const ALL = ['r.example/init:1', 'r.example/app:1', 'r.example/debug:1', 'r.example/data:1'];

describe('images of a review', () => {
  it.each<[string, string, string, (spec: unknown) => unknown]>([
    ['', 'v1', 'Pod', (spec) => ({ spec })],
    ['', 'v1', 'PodTemplate', (spec) => ({ template: { spec } })],
    ['', 'v1', 'ReplicationController', (spec) => ({ spec: { template: { spec } } })],
    ['apps', 'v1', 'Deployment', (spec) => ({ spec: { template: { spec } } })],
    ['apps', 'v1', 'StatefulSet', (spec) => ({ spec: { template: { spec } } })],
    ['apps', 'v1', 'DaemonSet', (spec) => ({ spec: { template: { spec } } })],
    ['apps', 'v1beta2', 'ReplicaSet', (spec) => ({ spec: { template: { spec } } })],
    ['batch', 'v1', 'Job', (spec) => ({ spec: { template: { spec } } })],
    ['batch', 'v1beta1', 'CronJob', (spec) => ({ spec: { jobTemplate: { spec: { template: { spec } } } } })],
    // The same names in groups of others, and unknown kinds.
    ['apps.example.com', 'v1', 'StatefulSet', (spec) => ({ spec: { template: { spec } } })],
    ['example.com', 'v1', 'Fleet', (spec) => ({ spec: { members: [{ 'a/b~c': spec }] } })],
    ['', 'v1', 'EphemeralContainers', (spec) => spec],
  ])('%s/%s %s: all of them, wherever they are', (group, version, name, object) => {
    const found = parse({ ...kind(group, version, name), object: object(EVERYWHERE) });
    expect(found.images.map(({ image }) => image)).toEqual(ALL);
    expect(found.images.map(({ place }) => place)).toContain('containers/c');
    expect(found.pullSecrets).toEqual(['pull']);
  });

  it('points to them as JSON patches do', () => {
    const object = { spec: { 'a/b~c': [podSpec('r.example/app:1')] } };
    expect(parse({ ...kind('example.com', 'v1', 'Fleet'), object }).images).toMatchObject([
      { pointer: '/spec/a~1b~0c/0/containers/0/image' },
    ]);
  });

  it.each<[string, unknown]>([
    ['beside them', { containers: [{}], template: { spec: podSpec('r.example/app:1') } }],
    ['above them', { initContainers: [{ name: 'x' }], jobs: { a: [podSpec('r.example/app:1')] } }],
    [
      'of ephemeral containers',
      { ephemeralContainers: [{}], x: { containers: [{ image: 'r.example/app:1' }] } },
    ],
    ['in a container', { containers: [{ image: '', sidecars: podSpec('r.example/app:1') }] }],
    ['in a volume', { containers: [{}], volumes: [{ pod: podSpec('r.example/app:1') }] }],
  ])('attack: a list of containers that is a decoy does not hide the images %s', (_, spec) => {
    expect(imagesOf({ ...kind('example.com', 'v1', 'Fleet'), object: { spec } })).toEqual([
      'r.example/app:1',
    ]);
  });

  it('finds those that the settings lead to, once', () => {
    const object = { spec: { jobs: [{ image: 'r.example/a:1' }, { image: 'r.example/b:1' }, {}] } };
    const request = { ...kind('example.com', 'v1', 'Fleet'), object };
    expect(imagesOf(request)).toEqual([]);
    expect(imagesOf(request, ['spec.jobs[*].image', 'spec.jobs[*].image'])).toEqual([
      'r.example/a:1',
      'r.example/b:1',
    ]);
  });

  it.each([
    ['a container without an image', { spec: { containers: [{ name: 'a' }] } }],
    ['an empty image', { spec: { containers: [{ name: 'a', image: '' }] } }],
    ['no containers', { spec: {} }],
    ['no spec', {}],
  ])('%s names none', (_, object) => {
    expect(imagesOf({ object })).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['an image that is a number', { spec: { containers: [{ image: 1 }] } }],
    ['an image that is an object', { spec: { containers: [{ image: { reference: 'r.example/a:1' } }] } }],
    ['containers that are an object', { spec: { containers: { a: { image: 'r.example/a:1' } } } }],
    ['a container that is a text', { spec: { containers: ['r.example/a:1'] } }],
    ['a volume whose image is a text', { spec: { volumes: [{ image: 'r.example/a:1' }] } }],
    ['a spec that is a list', { spec: [podSpec('r.example/a:1')] }],
    [
      'a bomb of containers',
      podOf(...Array.from({ length: MAX_WORKLOAD_IMAGES + 1 }, (_, at) => `r.example/a${at}:1`)),
    ],
  ])('%s is refused, with its uid', (_, object) => {
    expect(parseReview(review({ object }), [])).toMatchObject({
      uid: 'd1f0',
      error: { code: 'content-invalid' },
    });
  });
});

describe('updates and deletions', () => {
  const update = (oldObject: unknown, object: unknown): string[] =>
    imagesOf({ operation: 'UPDATE', oldObject, object });

  it('asks only about images that are new where they stand', () => {
    expect(update(podOf('r.example/a:1', 'r.example/b:1'), podOf('r.example/a:1', 'r.example/c:1'))).toEqual([
      'r.example/c:1',
    ]);
  });

  it('asks again about an image that moved to another container, another list, or a name that is there twice', () => {
    const of = (spec: unknown) => ({ spec });
    const old = of({ initContainers: [{ name: 'x', image: 'r.example/evil:1' }], containers: [] });
    expect(update(old, of({ containers: [{ name: 'x', image: 'r.example/evil:1' }] }))).toEqual([
      'r.example/evil:1',
    ]);
    expect(update(old, of({ initContainers: [{ name: 'y', image: 'r.example/evil:1' }] }))).toEqual([
      'r.example/evil:1',
    ]);
    const twice = of({
      initContainers: [
        { name: 'x', image: 'r.example/evil:1' },
        { name: 'x', image: 'r.example/evil:1' },
      ],
    });
    expect(update(old, twice)).toEqual(['r.example/evil:1']);
    expect(update(twice, twice)).toHaveLength(2);
  });

  it('asks about everything where the old object cannot be read', () => {
    expect(update({ spec: { containers: 'x' } }, podOf('r.example/a:1'))).toEqual(['r.example/a:1']);
  });

  it('asks nothing about what is deleted, or ends already', () => {
    const oldObject = { ...podOf('r.example/a:1'), metadata: { deletionTimestamp: '2026-12-01T00:00:00Z' } };
    expect(imagesOf({ operation: 'DELETE', oldObject, object: null })).toEqual([]);
    expect(update(oldObject, podOf('r.example/a:1'))).toEqual([]);
  });

  it('attack: an object that says of itself that it ends, or is owned, or is exempt, is verified like any other', () => {
    const metadata = {
      deletionTimestamp: '2026-12-01T00:00:00Z',
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'verified', uid: '1', controller: true },
      ],
      labels: { 'bulla.dev/exempt': 'true', 'policy.sigstore.dev/include': 'false', control_plane: 'true' },
      annotations: { 'bulla.dev/mode': 'audit', 'admission.kubernetes.io/skip': 'true' },
    };
    const object = { ...podOf('r.example/a:1'), metadata };
    expect(imagesOf({ object })).toEqual(['r.example/a:1']);
    expect(update(podOf('r.example/b:1'), object)).toEqual(['r.example/a:1']);
  });
});

describe('what surrounds them', () => {
  it('says whom and what it is about', () => {
    expect(parse({ object: podOf('r.example/a:1'), dryRun: true, name: '' })).toMatchObject({
      subject: 'Pod/web',
      namespace: 'shop',
      user: 'dev',
      isDryRun: true,
    });
    const object = { metadata: { generateName: 'job-' }, spec: {} };
    expect(parse({ object, name: '' }).subject).toBe('Pod/job-*');
  });

  it.each<[string, Uint8Array]>([
    ['another version', review({ object: podOf() }, { apiVersion: 'admission.k8s.io/v2' })],
    ['another kind', review({ object: podOf() }, { kind: 'ConversionReview' })],
    ['no operation', review({ object: podOf(), operation: undefined })],
    ['an unknown operation', review({ object: podOf(), operation: 'PATCH' })],
    ['no kind', review({ object: podOf(), kind: undefined })],
    ['no object', review({ object: undefined })],
    ['an object that is a text', review({ object: 'x' })],
    ['an update without the old object', review({ object: podOf(), operation: 'UPDATE' })],
  ])('%s is answered with the uid', (_, bytes) => {
    expect(parseReview(bytes, [])).toMatchObject({ uid: 'd1f0', error: { code: 'content-invalid' } });
  });

  it.each<[string, Uint8Array]>([
    ['nothing', Buffer.from('')],
    ['not JSON', Buffer.from('{')],
    ['a list', Buffer.from('[]')],
    ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['no request', Buffer.from('{"kind":"AdmissionReview"}')],
    ['a uid that is a number', review({ uid: 7 })],
    ['an empty uid', review({ uid: '' })],
    ['a uid twice', Buffer.from('{"request":{"uid":"a","uid":"b"}}')],
    ['depth without end', Buffer.from('['.repeat(10_000))],
    ['too many bytes', Buffer.alloc(MAX_REVIEW_BYTES + 1, ' ')],
  ])('%s is a failure', (_, bytes) => {
    expect(() => parseReview(bytes, [])).toThrow(expect.objectContaining({ code: 'content-invalid' }));
  });
});
