import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { epochOf, leavesVersions, trustVersions } from '../../../src/trust/format/versions.ts';

const ROLES = ['targets', 'names', 'ci', 'snapshot', 'timestamp', '-0a'];

describe('versions of a head', () => {
  it('are all above those of another that was made beside it, or all below', () => {
    const part = fc.integer({ min: 0, max: 2 ** 26 - 1 });
    const tops = fc.array(fc.integer({ min: 0, max: 2 ** 40 }), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(part, part, tops, (one, other, published) => {
        fc.pre(one >> 6 !== other >> 6);
        const [these, those] = [trustVersions(() => one), trustVersions(() => other)];
        const above = ROLES.map((role, at) => {
          const top = published[at] as number;
          const [a, b] = [these(top, role), those(top, role)];
          expect(Math.min(a, b)).toBeGreaterThan(top);
          expect(epochOf(role, a)).toBe(epochOf(role, b));
          return a > b;
        });
        expect(new Set(above).size).toBe(1);
      }),
      { numRuns: 1000 },
    );
  });

  it('are drawn anew for each head', () => {
    const parts = [5, 7];
    const draw = () => parts.shift() ?? Number.NaN;
    expect(trustVersions(draw)(0, 'names')).toBe(2 ** 26 + 5);
    expect(trustVersions(draw)(0, 'names')).toBe(2 ** 26 + 7);
  });

  it('may be as far above others as honest ones get', () => {
    expect(leavesVersions(2 ** 49, 0)).toBe(true);
    expect(leavesVersions(2 ** 49 + 1, 0)).toBe(false);
    expect(leavesVersions(2 ** 50 + 2 ** 30, 2 ** 50)).toBe(true);
  });
});
