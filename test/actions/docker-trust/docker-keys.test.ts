import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/encoding/json.ts';
import { unknownMembers } from '../../../src/trust/format/signable.ts';

const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
const targets = (docker: unknown): JsonObject => ({
  _type: 'targets',
  spec_version: '1.0.34',
  version: 1,
  expires: '2030-01-01T00:00:00Z',
  targets: {},
  bulla: { root: a, role: 'targets', docker } as unknown as JsonObject,
});

describe('what targets remember for docker-trust', () => {
  it.each([[{ releases: [a] }], [{ starters: [a, b] }], [{ releases: [a, b], starters: [b] }]])(
    'is known to those who sign: %j',
    (docker) => {
      expect(unknownMembers('targets', targets(docker))).toEqual([]);
    },
  );

  it.each([
    [{}],
    [[]],
    [null],
    ['releases'],
    [{ releases: [] }],
    [{ releases: a }],
    [{ releases: [a, a] }],
    [{ releases: [b, a] }],
    [{ releases: ['alice'] }],
    [{ releases: [1] }],
    [{ releases: [a], also: [b] }],
    [{ releases: [a], starters: {} }],
  ])('is refused in any other form: %j', (docker) => {
    expect(unknownMembers('targets', targets(docker))).toMatchObject([{ path: ['bulla', 'docker'] }]);
  });

  it('is nothing that another role may say', () => {
    const { bulla, ...rest } = targets({ releases: [a] });
    const names = { ...rest, bulla: { ...(bulla as JsonObject), role: 'names' } };
    expect(unknownMembers('names', names)).toMatchObject([{ path: ['bulla', 'docker'] }]);
  });
});
