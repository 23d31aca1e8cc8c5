import { describe, expect, it } from 'vitest';
import { type BullaError, isBullaError } from '../../src/errors.ts';
import { blobOf, imageOf, pushBytes, pushImage, pushReferrer, tagOf } from '../support/content.ts';
import { codeOf, registryFor, repositoryOf } from '../support/registry/open.ts';

const json = (code: string, message: string): string => JSON.stringify({ errors: [{ code, message }] });
const page = (title: string): string =>
  `<html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>`;

async function errorOf(work: Promise<unknown>): Promise<BullaError> {
  try {
    await work;
  } catch (error) {
    if (isBullaError(error)) return error;
    throw error;
  }
  throw new Error('it worked');
}

/** Everything that a registry may say when it does not move a tag; some say nothing of the kind. */
const IMMUTABLE: [string, number, string][] = [
  [
    'Amazon ECR',
    400,
    json(
      'TAG_INVALID',
      "The image tag 'v1' already exists in the 'app' repository and cannot be overwritten because the tag is immutable.",
    ),
  ],
  ['Harbor', 412, json('PRECONDITION', "Failed to process request due to 'v1' configured as immutable.")],
  [
    'Google',
    400,
    json('MANIFEST_INVALID', 'cannot update tag v1. The repository has enabled tag immutability'),
  ],
  ['Azure', 405, json('UNSUPPORTED', 'The operation is disallowed on this registry, repository or image.')],
  ['Nexus', 400, json('BLOB_UPLOAD_INVALID', 'Repository does not allow updating assets: docker-hosted')],
  ['Artifactory', 403, json('DENIED', 'Not enough permissions to delete/overwrite artifact')],
  ['GitLab', 403, json('DENIED', 'protected tag')],
  ['a conflict without words', 409, ''],
  ['a refusal without words', 403, ''],
  ['a method that is not allowed', 405, page('405 Not Allowed')],
  ['words of another language', 400, json('INVALID', 'L’étiquette est verrouillée')],
  ['a code of its own', 422, json('E1234', 'rule 17')],
  ['a locked resource', 423, ''],
  ['what looks like a type', 400, json('MANIFEST_INVALID', 'manifest invalid')],
];

describe('a tag that does not move', () => {
  it.each(IMMUTABLE)('%s', async (_, status, body) => {
    const registry = await registryFor({ immutableTags: /./, immutableAnswer: { status, body } });
    const target = repositoryOf(registry);
    const first = await pushImage(target, 'one', 'v1');
    const second = await pushImage(target, 'two');
    const error = await errorOf(target.pushManifest(second, { tag: tagOf('v1') }));
    expect([error.code, error.details['reason']]).toEqual(
      status === 423 ? ['registry-policy', 'read-only'] : ['conflict', 'immutable-tag'],
    );
    expect(error.message).toContain(String(status));
    expect(error.hint).toMatch(/tag|try again/);
    // The same again is no move: an earlier try may have done it, and its answer was lost.
    expect(await codeOf(target.pushManifest(first, { tag: tagOf('v1') }))).toBe('success');
    expect(await codeOf(target.pushManifest(second, { tag: tagOf('v2') }))).toBe('success');
  });

  it.each(IMMUTABLE.filter(([, status]) => status !== 423))(
    'of a collection, with a condition: %s',
    async (_, status, body) => {
      const registry = await registryFor({ immutableTags: /./, immutableAnswer: { status, body } });
      const target = repositoryOf(registry);
      const first = await pushImage(target, 'one', '_trust');
      const second = await pushImage(target, 'two');
      const expected = first.descriptor.digest;
      const move = () => target.pushManifest(second, { tag: tagOf('_trust'), expected, once: true });
      const error = await errorOf(move());
      expect([error.code, error.details['reason']]).toEqual(['conflict', 'immutable-tag']);
      expect(error.hint).toMatch(/--at OTHER\/REPO/);
      // Somebody else's head is somebody else's, whatever the registry says.
      const other = await pushImage(target, 'three');
      registry.repository('team/app').setTag('_trust', other.descriptor.digest);
      const moved = await errorOf(move());
      expect(moved.code).toBe('conflict');
      expect(moved.details['reason']).toBeUndefined();
    },
  );

  it.each(IMMUTABLE.filter(([, status]) => status !== 423))(
    'of a fallback list: %s',
    async (_, status, body) => {
      const registry = await registryFor({
        referrersApi: false,
        immutableTags: /^sha256-/,
        immutableAnswer: { status, body },
      });
      const target = repositoryOf(registry);
      const image = await pushImage(target, 'one', 'v1');
      const sign = (text: string) => pushReferrer(target, image.descriptor, text);
      await sign('1');
      const error = await errorOf(sign('2'));
      expect([error.code, error.details['reason']]).toEqual(['conflict', 'immutable-tag']);
      expect(error.hint).toMatch(/sha256-/);
    },
  );

  it('is told from a tag that may not be written at all', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one');
    registry.fault({
      method: 'PUT',
      path: /manifests\/v1$/,
      times: 9,
      action: { status: 403, body: json('DENIED', 'no') },
    });
    const error = await errorOf(target.pushManifest(image, { tag: tagOf('v1') }));
    expect([error.code, error.details['reason']]).toEqual(['registry-policy', 'tag-refused']);
  });
});

type Refusal = [who: string, status: number, body: string, code: string, reason: string | undefined];

const UPLOADS: Refusal[] = [
  [
    'Amazon ECR without a repository',
    404,
    json('NAME_UNKNOWN', "The repository with name 'team/app' does not exist in the registry with id '1'"),
    'registry-policy',
    'no-repository',
  ],
  [
    'Harbor without a project',
    404,
    json('NOT_FOUND', 'project team not found'),
    'registry-policy',
    'no-repository',
  ],
  ['a registry without words', 404, '', 'registry-policy', 'no-repository'],
  ['a page instead of a registry', 404, page('404 Not Found'), 'registry-policy', 'no-repository'],
  [
    'a project that is not there',
    403,
    json('DENIED', 'Project "team" does not exist'),
    'registry-policy',
    'no-repository',
  ],
  [
    'Harbor out of quota',
    403,
    json(
      'DENIED',
      'adding 2.0 MiB of storage resource, which when updated to current usage of 9.0 MiB will exceed the configured upper limit of 10.0 MiB.',
    ),
    'registry-policy',
    'quota',
  ],
  [
    'Quay out of quota',
    403,
    json('DENIED', 'Quota has been exceeded on namespace'),
    'registry-policy',
    'quota',
  ],
  ['a full disk', 507, '', 'registry-policy', 'quota'],
  ['a plan', 402, json('DENIED', 'upgrade your plan'), 'registry-policy', 'quota'],
  [
    'a quota said as too large',
    413,
    json('DENIED', 'Your project has exceeded its storage limit'),
    'registry-policy',
    'quota',
  ],
  [
    'ECR out of images',
    400,
    json('LIMIT_EXCEEDED', 'the maximum number of images per repository is reached'),
    'registry-policy',
    'quota',
  ],
  [
    'distribution, pull-through',
    405,
    json('UNSUPPORTED', 'The operation is unsupported.'),
    'registry-policy',
    'read-only',
  ],
  [
    'Harbor, proxy project',
    405,
    json('METHOD_NOT_ALLOWED', 'can not push artifact to a proxy project: "team"'),
    'registry-policy',
    'pull-through',
  ],
  [
    'ECR, pull through cache',
    403,
    json('DENIED', 'push is not allowed for a pull through cache repository'),
    'registry-policy',
    'pull-through',
  ],
  [
    'Artifactory, remote repository',
    403,
    json('DENIED', 'uploads to a remote repository are refused'),
    'registry-policy',
    'pull-through',
  ],
  [
    'Nexus, group repository',
    404,
    json('UNSUPPORTED', 'Deploying to groups: repository type is group'),
    'registry-policy',
    'pull-through',
  ],
  [
    'maintenance as a refusal',
    403,
    json('DENIED', 'The system is in read only mode. Any modification is prohibited.'),
    'registry-policy',
    'read-only',
  ],
  ['an archived repository', 403, json('DENIED', 'repository is archived'), 'registry-policy', 'read-only'],
  ['maintenance', 503, json('UNAVAILABLE', 'registry is in maintenance'), 'registry-error', 'read-only'],
  ['an overload', 503, '', 'registry-error', undefined],
  [
    'a plain refusal',
    403,
    json('DENIED', 'requested access to the resource is denied'),
    'forbidden',
    undefined,
  ],
  ['a login', 401, json('UNAUTHORIZED', 'authentication required'), 'unauthorized', undefined],
];

describe('a rule against the beginning of an upload', () => {
  it.each(UPLOADS)('%s', async (_, status, body, code, reason) => {
    const registry = await registryFor();
    registry.fault({ method: 'POST', path: /uploads/, times: 99, action: { status, body } });
    const error = await errorOf(pushBytes(repositoryOf(registry), blobOf('a layer')));
    expect([error.code, error.details['reason']]).toEqual([code, reason]);
    expect(error.hint).toBeTruthy();
    const words = /"message":"([^"\\]*)/.exec(body)?.[1];
    if (words !== undefined) expect(error.message).toContain(words);
    expect(error.message).not.toContain('<');
    // A rule stays what it is: nothing is tried again but what a 503 asks for.
    if (status !== 503) expect(registry.requests(/uploads/)).toHaveLength(1);
  });
});

const MANIFESTS: Refusal[] = [
  [
    'Amazon ECR',
    400,
    json(
      'MANIFEST_INVALID',
      "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'",
    ),
    'registry-policy',
    'type-refused',
  ],
  [
    'ECR, of referrers',
    405,
    json(
      'UNSUPPORTED',
      "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'",
    ),
    'registry-policy',
    'type-refused',
  ],
  ['a media type', 415, '', 'registry-policy', 'type-refused'],
  ['Quay', 415, json('UNSUPPORTED', 'unsupported artifact type'), 'registry-policy', 'type-refused'],
  [
    'Pulp',
    400,
    json('MANIFEST_INVALID', 'The artifact type is not in ALLOWED_ARTIFACT_TYPES'),
    'registry-policy',
    'type-refused',
  ],
  ['a schema', 422, json('INVALID', 'mediaType is not allowed'), 'registry-policy', 'type-refused'],
  ['no words', 400, '', 'registry-policy', 'type-refused'],
  ['a page', 405, page('405 Not Allowed'), 'registry-policy', 'type-refused'],
  ['a limit of nginx', 413, page('413 Request Entity Too Large'), 'registry-policy', 'too-large'],
  [
    'a limit of distribution',
    400,
    json('MANIFEST_INVALID', 'payload too large: exceeds the limit of 4194304 bytes'),
    'registry-policy',
    'too-large',
  ],
  ['a quota of tags', 403, json('DENIED', 'too many tags: quota of 100 reached'), 'registry-policy', 'quota'],
  [
    'no repository',
    404,
    json('NAME_UNKNOWN', 'repository name not known to registry'),
    'registry-policy',
    'no-repository',
  ],
  ['read-only', 405, json('UNSUPPORTED', 'registry is in read-only mode'), 'registry-policy', 'read-only'],
  ['a plain refusal', 403, json('DENIED', 'no'), 'forbidden', undefined],
];

describe('a rule against a manifest', () => {
  it.each(MANIFESTS)('%s', async (_, status, body, code, reason) => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one');
    registry.fault({ method: 'PUT', path: /manifests/, times: 99, action: { status, body } });
    for (const options of [{}, { tag: tagOf('v1') }, { tag: tagOf('_trust'), expected: null, once: true }]) {
      const error = await errorOf(target.pushManifest(image, options));
      expect([error.code, error.details['reason']]).toEqual([code, reason]);
      expect(error.message).toContain(`answered ${status}`);
      expect(error.hint).toBeTruthy();
    }
    expect(registry.repository('team/app').uploads.size).toBe(0);
  });

  it('405 for everything: the registry takes no pushes', async () => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const image = await pushImage(target, 'one');
    registry.fault({ method: 'PUT', times: 99, action: { status: 405 } });
    registry.fault({ method: 'POST', times: 99, action: { status: 405 } });
    const error = await errorOf(target.pushManifest(image));
    expect([error.code, error.details['reason']]).toEqual(['registry-policy', 'read-only']);
  });
});

describe('a manifest with a part that the registry lacks', () => {
  const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
  it.each([
    ['a layer', 'application/vnd.oci.image.layer.v1.tar', 400, 'push what'],
    ['a foreign layer', foreign, 400, 'validation.manifests.urls.allow'],
    ['a foreign layer, and distribution says 500', foreign, 500, 'validation.manifests.urls.allow'],
    ['a layer, and the registry says 404', 'application/vnd.oci.image.layer.v1.tar', 404, 'push what'],
  ])('%s: the digest is named, and what to do', async (_, mediaType, status, hint) => {
    const registry = await registryFor();
    const target = repositoryOf(registry);
    const config = blobOf('{}', 'application/vnd.oci.image.config.v1+json');
    await pushBytes(target, config);
    const absent = blobOf('absent', mediaType);
    registry.fault({
      method: 'PUT',
      path: /manifests/,
      times: 99,
      action: { status, body: json('MANIFEST_BLOB_UNKNOWN', 'blob unknown to registry') },
    });
    const error = await errorOf(target.pushManifest(imageOf(config.descriptor, [absent.descriptor])));
    expect([error.code, error.details['reason'], error.details['missing']]).toEqual([
      mediaType === foreign ? 'registry-policy' : 'registry-error',
      'missing-part',
      absent.descriptor.digest,
    ]);
    expect(error.message).toContain(absent.descriptor.digest);
    expect(error.hint).toContain(hint);
  });
});

describe('bodies that are too large for the way to the registry', () => {
  const MiB = 1024 * 1024;
  it.each([[4], [1], [0.3]])(
    'of %s MiB: blobs are sent in smaller pieces, and later ones begin with them',
    async (mebibytes) => {
      const registry = await registryFor({ maxBody: mebibytes * MiB });
      const target = repositoryOf(registry);
      await pushBytes(target, blobOf('x'.repeat(5 * MiB)));
      registry.forget();
      const second = blobOf('y'.repeat(5 * MiB));
      await pushBytes(target, second);
      const { blobs } = registry.repository('team/app');
      expect(blobs.has(second.descriptor.digest)).toBe(true);
      expect(registry.log.some(({ status }) => status === 413)).toBe(false);
      const small = blobOf('small');
      await pushBytes(target, small);
      expect(blobs.has(small.descriptor.digest)).toBe(true);
    },
  );

  it('that take nothing are named', async () => {
    const registry = await registryFor({ maxBody: 10 });
    const error = await errorOf(pushBytes(repositoryOf(registry), blobOf('x'.repeat(MiB))));
    expect([error.code, error.details['reason']]).toEqual(['registry-policy', 'too-large']);
    expect(error.hint).toContain('client_max_body_size');
    expect(registry.repository('team/app').uploads.size).toBe(0);
  });
});
