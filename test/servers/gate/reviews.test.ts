import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { expect, it } from 'vitest';
import { MAX_REVIEW_BYTES } from '../../../src/actions/gate/review.ts';
import type { Verdict } from '../../../src/actions/gate/verdict.ts';
import { reviewEndpoints } from '../../../src/servers/gate/reviews.ts';
import { podOf, review } from '../../actions/gate/reviews.ts';

const VERIFIED: Verdict = {
  outcome: 'verified',
  scope: 'r.example/*',
  mode: 'enforce',
  digest: `sha256:${'a'.repeat(64)}` as never,
  signers: [],
};

function endpoints() {
  const broken: string[] = [];
  const map = reviewEndpoints({
    policy: () => ({
      rules: [{ scope: 'r.example/*', mode: 'enforce', verdict: { kind: 'deny', reason: 'x' } }],
    }),
    ask: async () => VERIFIED,
    isEmergency: false,
    decided: () => undefined,
    broken: (_, { code }) => broken.push(code),
  });
  const validate = map.get('/validate');
  if (validate === undefined) throw new Error('no endpoint');
  return { validate, broken };
}

const request = (length: number | undefined, type = 'application/json', method = 'POST'): IncomingMessage =>
  Object.assign(new EventEmitter(), {
    method,
    headers: { 'content-type': type, ...(length !== undefined && { 'content-length': String(length) }) },
  }) as unknown as IncomingMessage;

it('attack: many of the largest reviews at once are refused, until those before them have been read', () => {
  const { validate } = endpoints();
  const taken = Array.from({ length: 8 }, () => request(MAX_REVIEW_BYTES));
  for (const one of taken) expect(validate.refuse?.(one)).toBeUndefined();
  expect(validate.refuse?.(request(MAX_REVIEW_BYTES))).toMatchObject({ status: 503 });
  // Without a length, it may be as large as any.
  expect(validate.refuse?.(request(undefined))).toMatchObject({ status: 503 });
  taken[0]?.emit('close');
  expect(validate.refuse?.(request(undefined))).toBeUndefined();
  expect(validate.refuse?.(request(1))).toMatchObject({ status: 503 });
});

it.each(['', 'text/plain', 'application/yaml', 'application/jsonx', 'multipart/form-data'])(
  'refuses the content type %j before it reads anything',
  (type) => {
    expect(endpoints().validate.refuse?.(request(10, type))).toMatchObject({ status: 415 });
  },
);

it.each<[string, Uint8Array, number]>([
  ['no JSON', Buffer.from('x'), 400],
  ['another version', review({ object: podOf() }, { apiVersion: 'admission.k8s.io/v2' }), 200],
])('reports a review that is %s', async (_, body, status) => {
  const { validate, broken } = endpoints();
  const answer = await validate.answer(body, request(10));
  expect(answer.status).toBe(status);
  if (status === 200) expect(JSON.parse(String(answer.text)).response.allowed).toBe(false);
  expect(broken).toEqual(['content-invalid']);
});
