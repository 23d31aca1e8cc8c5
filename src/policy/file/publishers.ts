import type { KeylessDocument } from './schema.ts';

/** Who signs the images of a well-known publisher, as the publisher says it in public. */
export interface Publisher {
  /** Images that the source is about. */
  readonly images: string;
  readonly keyless: readonly KeylessDocument[];
  /** Public keys (PEM). */
  readonly keys: readonly string[];
  /** Page that names the identities. */
  readonly source: string;
  /** When the page was read. */
  readonly date: string;
}

const DATE = '2026-12-01';

/**
 * Publishers that a policy may name (spec/policy.md, "Publishers"). Nothing here is trusted by itself: a rule must name the
 * publisher. An identity stands here only if its publisher documents it for verifying images.
 */
export const PUBLISHERS: ReadonlyMap<string, Publisher> = new Map([
  [
    'kubernetes',
    {
      images: 'registry.k8s.io: images of Kubernetes releases',
      keyless: [
        {
          identity: 'krel-trust@k8s-releng-prod.iam.gserviceaccount.com',
          issuer: 'https://accounts.google.com',
        },
      ],
      keys: [],
      source: 'https://kubernetes.io/docs/tasks/administer-cluster/verify-signed-artifacts/',
      date: DATE,
    },
  ],
  [
    'distroless',
    {
      images: 'gcr.io/distroless',
      keyless: [
        {
          identity: 'keyless@distroless.iam.gserviceaccount.com',
          issuer: 'https://accounts.google.com',
        },
      ],
      keys: [],
      source: 'https://github.com/GoogleContainerTools/distroless#how-do-i-verify-distroless-images',
      date: DATE,
    },
  ],
  [
    'chainguard',
    {
      images: 'cgr.dev/chainguard: the public images',
      keyless: [
        {
          identity:
            'https://github.com/chainguard-images/images/.github/workflows/release.yaml@refs/heads/main',
          issuer: 'https://token.actions.githubusercontent.com',
        },
      ],
      keys: [],
      source:
        'https://edu.chainguard.dev/chainguard/chainguard-images/how-to-use/verifying-chainguard-images-and-metadata-signatures-with-cosign/',
      date: DATE,
    },
  ],
  [
    'docker-hardened-images',
    {
      images: 'dhi.io, and mirrors of its images',
      keyless: [],
      keys: [
        `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKdROmntRJFBrOJOQF5ww6gDBJqGm
Fxa4333s1KsL9ISjtmRzGNih9lNRsqfRVjgFgJIdL6EQ9dohdanvn7r2cg==
-----END PUBLIC KEY-----
`,
      ],
      source: 'https://github.com/docker-hardened-images/keyring (dhi-2.pub)',
      date: DATE,
    },
  ],
]);
