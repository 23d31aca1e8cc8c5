import { beforeEach, describe, expect, it } from 'vitest';
import { signImage } from '../../../src/actions/sign/signature.ts';
import { verifyImage } from '../../../src/actions/verify/image.ts';
import type { StatusFinding, StatusPort } from '../../../src/crypto/certificate-status.ts';
import { BullaError } from '../../../src/errors.ts';
import { MemoryStore } from '../../../src/oci/memory.ts';
import { type Requirements, requirements } from '../../../src/policy/requirements.ts';
import { pushImage, tagOf } from '../../support/content.ts';
import { issue, issueChain, LEAF_NAME } from '../../support/issue.ts';
import { NOW } from '../../support/revocation.ts';

const tag = tagOf('v1');
const { root, leaf: one } = issueChain();
const other = issue({
  subject: { ...LEAF_NAME, CN: 'other' },
  issuer: root,
  extended: ['1.3.6.1.5.5.7.3.3'],
});
const stranger = issueChain();

let store: MemoryStore;
let asked: string[];
beforeEach(async () => {
  store = new MemoryStore();
  asked = [];
  await pushImage(store, 'app', 'v1');
});

async function sign(by: typeof one, chain = [by.certificate, root.certificate]): Promise<void> {
  await signImage(store, { tag }, { name: 'v1', signer: by.signer, chain, now: NOW, agent: 'test' });
}

/** Statuses by thumbprint; good where nothing else is said. */
const port = (statuses: ReadonlyMap<string, StatusFinding['outcome']>): StatusPort => ({
  statusOf: async (chain) =>
    chain.slice(0, -1).map((certificate) => {
      asked.push(certificate.thumbprint);
      return { certificate, outcome: statuses.get(certificate.thumbprint) ?? { kind: 'good' } };
    }),
});
const silence: StatusFinding['outcome'] = {
  kind: 'unavailable',
  error: new BullaError('timeout', 'no answer', { hint: 'try again' }),
};
const revoked: StatusFinding['outcome'] = {
  kind: 'revoked',
  at: NOW,
  reason: undefined,
  invaliditySince: undefined,
};

const required = (more: Partial<Requirements> = {}): Requirements =>
  requirements({
    now: NOW,
    roots: [root.certificate],
    revocation: { mode: 'enforce', privateHosts: [] },
    ...more,
  });
const verify = (
  statuses: readonly (readonly [typeof one, StatusFinding['outcome']])[],
  needed = required(),
) => {
  const status = port(
    new Map(statuses.map(([{ certificate }, outcome]) => [certificate.thumbprint, outcome])),
  );
  return verifyImage(store, { tag }, { name: 'v1', required: needed, status });
};

describe('an image with several signatures', () => {
  beforeEach(async () => {
    for (const by of [one, other]) await sign(by);
  });

  it.each([
    ['was revoked', revoked],
    ['gets no status', silence],
  ] as const)('is verified by one signature if the certificate of the other %s', async (_, outcome) => {
    for (const bad of [one, other]) {
      const { evidence, refusals } = await verify([[bad, outcome]]);
      expect(evidence).toHaveLength(1);
      expect(evidence[0]?.certificates[0]?.thumbprint).not.toBe(bad.certificate.thumbprint);
      expect(refusals).toHaveLength(1);
    }
  });

  it('is not known to be refused if a status that would be needed is missing', async () => {
    await expect(
      verify([
        [one, revoked],
        [other, silence],
      ]),
    ).rejects.toMatchObject({ code: 'timeout' });
    await expect(
      verify([
        [one, silence],
        [other, silence],
      ]),
    ).rejects.toMatchObject({ code: 'timeout' });
  });

  it('is refused if all were revoked', async () => {
    await expect(
      verify([
        [one, revoked],
        [other, revoked],
      ]),
    ).rejects.toMatchObject({ code: 'revoked' });
  });
});

it('is verified without a status where a trusted key signed it as well', async () => {
  await sign(one);
  const { evidence } = await verify([[one, silence]], required({ keys: [one.certificate.publicKey] }));
  expect(evidence).toHaveLength(1);
  expect(asked).toEqual([]);
});

it('asks nothing about the certificates of strangers', async () => {
  await sign(stranger.leaf, [...stranger.chain]);
  await expect(verify([])).rejects.toMatchObject({ code: 'certificate-invalid' });
  expect(asked).toEqual([]);
});

it('is refused if nothing can be asked', async () => {
  await sign(one);
  await expect(verifyImage(store, { tag }, { name: 'v1', required: required() })).rejects.toMatchObject({
    code: 'certificate-invalid',
  });
});
