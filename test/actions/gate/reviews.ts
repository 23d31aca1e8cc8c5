import type { JsonObject } from '../../../src/encoding/json.ts';

/** A review as the API server sends it, as bytes. */
export function review(request: Record<string, unknown>, envelope: Record<string, unknown> = {}): Uint8Array {
  return Buffer.from(
    JSON.stringify({
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      request: {
        uid: 'd1f0',
        operation: 'CREATE',
        namespace: 'shop',
        kind: { group: '', version: 'v1', kind: 'Pod' },
        userInfo: { username: 'dev' },
        ...request,
      },
      ...envelope,
    }),
  );
}

/** A pod with one container for each image: `c0`, `c1`, … */
export function podOf(...images: readonly string[]): JsonObject {
  return { metadata: { name: 'web' }, spec: podSpec(...images) };
}

export function podSpec(...images: readonly string[]): JsonObject {
  return { containers: images.map((image, at) => ({ name: `c${at}`, image })) };
}
