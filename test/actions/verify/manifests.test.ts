import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { parseImagePath } from '../../../src/actions/verify/image-places.ts';
import { imagesInManifests, pinned } from '../../../src/actions/verify/manifests.ts';

const pod = (indent: string): string =>
  [
    'initContainers: [{image: "r.example/init:1"}]',
    "containers: [{name: a, image: r.example/a:1}, {image: 'r.example/b'}]",
    'ephemeralContainers: [{image: r.example/debug:1}]',
    'volumes: [{name: v, image: {reference: r.example/data:1}}, {configMap: {}}]',
  ]
    .map((line) => `${indent}${line}`)
    .join('\n');
const ALL = [
  'r.example/init:1',
  'r.example/a:1',
  'r.example/b:latest',
  'r.example/debug:1',
  'r.example/data:1',
];

const images = (text: string, ...paths: string[]): readonly string[] =>
  imagesInManifests(text, 'f.yaml', paths.map(parseImagePath)).uses.map(({ image }) => image);

describe('images are found', () => {
  it.each<readonly [string, string, string]>([
    ['v1', 'Pod', `spec:\n${pod('  ')}`],
    ['v1', 'PodTemplate', `template:\n  spec:\n${pod('    ')}`],
    ['v1', 'ReplicationController', `spec:\n  template:\n    spec:\n${pod('      ')}`],
    [
      'batch/v1',
      'CronJob',
      `spec:\n  jobTemplate:\n    spec:\n      template:\n        spec:\n${pod('          ')}`,
    ],
    ...['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet'].map(
      (kind) => ['apps/v1', kind, `spec:\n  template:\n    spec:\n${pod('      ')}`] as const,
    ),
    ['batch/v1', 'Job', `spec:\n  template:\n    spec:\n${pod('      ')}`],
  ])('in %s %s', (apiVersion, kind, rest) => {
    const text = `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x}\n${rest}\n`;
    expect([...images(text)].sort()).toEqual([...ALL].sort());
    expect(imagesInManifests(text, 'f', []).uses[0]?.owner).toBe(`${kind}/x`);
  });

  it('in several documents, lists, JSON, and output of Helm with its comments', () => {
    const text = [
      '---\n# Source: chart/templates/a.yaml\napiVersion: v1\nkind: Service\nspec: {}\n',
      '---\n',
      `---\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec: {containers: [{image: nginx}]}\n`,
      '---\n{"apiVersion": "v1", "kind": "PodList", "items": [{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "r.example/j:1"}]}}]}\n',
    ].join('');
    expect(images(text)).toEqual(['nginx:latest', 'r.example/j:1']);
  });

  it('in compose files', () => {
    const text =
      'services:\n  web:\n    image: r.example/web:1 # ours\n  built:\n    build: .\n  db: {image: postgres@sha256:00}\n';
    expect(images(text)).toEqual(['r.example/web:1', 'postgres@sha256:00']);
  });

  it('in kinds that are not known: by what pods look like, with a word about it, or by a path', () => {
    const text =
      'apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nspec:\n  jobs: [{image: r.example/j:1}]\n  t: {spec: {containers: [{image: r.example/c:1}]}}\n';
    expect(images(text)).toEqual(['r.example/c:1']);
    expect(imagesInManifests(text, 'f', []).guessed).toEqual(['argoproj.io/v1alpha1 Workflow']);
    expect(images(text, 'spec.jobs[*].image')).toEqual(['r.example/j:1']);
    expect(images(text, 'spec.jobs[*].image', 'spec.t.spec.containers[*].image')).toEqual([
      'r.example/j:1',
      'r.example/c:1',
    ]);
  });

  const POD = 'apiVersion: v1\nkind: Pod\n';
  it.each<[string, string]>([
    ['a list that is an alias', `${POD}x: &l [{image: r.example/hidden:1}]\nspec: {containers: *l}`],
    ['a specification that is an alias', `${POD}x: &s {containers: [{image: r.example/hidden:1}]}\nspec: *s`],
    ['a container that is an alias', `${POD}x: &c {image: r.example/hidden:1}\nspec: {containers: [*c]}`],
    ['a merge', `${POD}x: &c {image: r.example/hidden:1}\nspec: {containers: [{name: a, <<: *c}]}`],
    [
      'a list of merges',
      `${POD}x: [&a {name: a}, &c {image: r.example/hidden:1}]\nspec: {containers: [{<<: [*a, *c]}]}`,
    ],
    [
      'the name of a member that is an alias',
      `${POD}x: &k containers\nspec: {*k : [{image: r.example/hidden:1}]}`,
    ],
    [
      'a kind that is an alias',
      'apiVersion: v1\nx: &k Pod\nkind: *k\nspec: {containers: [{image: r.example/hidden:1}]}',
    ],
    [
      'a service of compose that is merged',
      'x: &b {image: r.example/hidden:1}\nservices: {web: {<<: *b, ports: []}}',
    ],
    ['services that are an alias', 'x: &s {web: {image: r.example/hidden:1}}\nservices: *s'],
    [
      'an item of what has items, whatever its kind is called',
      'apiVersion: v1\nkind: Pods\nitems: [{apiVersion: v1, kind: Pod, spec: {containers: [{image: r.example/hidden:1}]}}]',
    ],
    [
      'items that are an alias',
      `apiVersion: v1\nkind: List\nx: &i [{apiVersion: v1, kind: Pod, spec: {containers: [{image: r.example/hidden:1}]}}]\nitems: *i`,
    ],
  ])('in %s, as kubectl and compose find it', (_, text) => {
    expect(images(text)).toEqual(['r.example/hidden:1']);
  });

  it('once where one anchor is used twice, and is written once', () => {
    const text = `x: &b {image: r.example/a:1}\nservices: {web: *b, db: {<<: *b}}\n`;
    const { uses } = imagesInManifests(text, 'f');
    expect(uses).toHaveLength(2);
    expect(pinned(text, uses, () => 'sha256:22')).toBe(text.replace('a:1', 'a:1@sha256:22'));
  });

  it.each([
    ['an empty list', '{containers: [], template: {spec: {containers: [{image: r.example/c:1}]}}}'],
    ['a list', '{containers: [{name: x}], a: [{b: {containers: [{image: r.example/c:1}]}}]}'],
    ['init containers', '{initContainers: [{name: x}], template: {containers: [{image: r.example/c:1}]}}'],
    ['only init containers', '{template: {initContainers: [{image: r.example/c:1}]}}'],
    ['only ephemeral containers', '{template: {ephemeralContainers: [{image: r.example/c:1}]}}'],
  ])('attack: %s in a kind that is not known hides no images', (_, spec) => {
    const text = `apiVersion: x.example/v1\nkind: Fleet\nspec: ${spec}`;
    const { uses, unseen } = imagesInManifests(text, 'f');
    expect([uses.map(({ image }) => image), unseen]).toEqual([['r.example/c:1'], []]);
  });

  it('in an object that no path fits, by what pods look like', () => {
    const text = 'apiVersion: x.example/v1\nkind: Rollout\nspec: {containers: [{image: r.example/c:1}]}';
    expect(images(text, 'spec.jobs[*].image')).toEqual(['r.example/c:1']);
  });

  it('and an unknown kind that names images elsewhere is told', () => {
    const text = 'apiVersion: x.example/v1\nkind: Task\nspec: {steps: [{image: r.example/c:1}]}';
    expect(imagesInManifests(text, 'f')).toMatchObject({ uses: [], unseen: ['x.example/v1 Task'] });
    expect(imagesInManifests(text, 'f', [parseImagePath('spec.steps[*].image')]).unseen).toEqual([]);
  });

  const bomb = Array.from({ length: 30 }, (_, at) => `x${at}: &x${at} [*x${at - 1}, *x${at - 1}]`).slice(1);
  it.each([
    [
      'a kind in base64',
      'apiVersion: v1\nkind: !!binary UG9k\nspec: {containers: [{image: a}]}',
      'content-invalid',
    ],
    ['a member in base64', `${POD}spec: {!!binary Y29udGFpbmVycw== : [{image: a}]}`, 'content-invalid'],
    [
      'a member twice, once by an alias',
      `${POD}x: &k spec\nspec: {}\n*k : {containers: []}`,
      'content-invalid',
    ],
    ['an anchor that holds itself', `${POD}spec: &s {containers: [*s]}`, 'content-invalid'],
    ['a bomb of aliases', `apiVersion: x/v1\nkind: X\nx0: &x0 [a]\n${bomb.join('\n')}`, 'content-invalid'],
    [
      'what is nested too deep',
      `apiVersion: x/v1\nkind: X\ns: ${'['.repeat(70)}{containers: [{image: a}]}${']'.repeat(70)}`,
      'content-invalid',
    ],
    ['not YAML', 'a: [', 'content-invalid'],
    [
      'a template',
      'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: {{ .Values.image }}\n',
      'content-invalid',
    ],
    ['a number', 'apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 1}]}', 'content-invalid'],
    [
      'a text of several lines',
      'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: |\n      a\n',
      'content-invalid',
    ],
    [
      'an alias',
      'apiVersion: v1\nkind: Pod\nmetadata: {name: &a r.example/x}\nspec: {containers: [{image: *a}]}',
      'content-invalid',
    ],
  ])('and %s is refused', (_, text, code) => {
    expect(() => images(text)).toThrow(expect.objectContaining({ code }));
  });

  it.each(['', '.', 'spec.a b', 'spec[0].image', '$.x'])('and the path %j is refused', (path) => {
    expect(() => parseImagePath(path)).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});

it('puts digests behind the images, and leaves everything else as it is', () => {
  const text = `# A comment
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}   # odd   spacing
spec:
  template:
    spec:
      containers:
        - name: "a"
          image: "r.example/a:1"   # pinned by us
        - { image: 'r.example/b', name: b }
        - image: r.example/c@sha256:11
---
services: {web: {image: r.example/d:2}}
`;
  const { uses } = imagesInManifests(text, 'f', []);
  const result = pinned(text, uses, ({ image }) => (image.includes('/d') ? undefined : 'sha256:22'));
  expect(result).toBe(
    text
      .replace('"r.example/a:1"', '"r.example/a:1@sha256:22"')
      .replace("'r.example/b'", "'r.example/b@sha256:22'"),
  );
  expect(
    (parseAllDocuments(result) as readonly { errors: readonly Error[] }[]).flatMap(({ errors }) => errors),
  ).toEqual([]);
});
