import { describe, expect, it } from 'vitest';
import { trustVersions } from '../../../src/trust/format/versions.ts';
import type { PublishOptions } from '../../../src/trust/publish/publish-options.ts';
import { consecutiveVersions } from '../../../src/tuf/edit/policy.ts';
import { naivePublisher } from '../../support/trust/simulation/naive.ts';
import type { PublishingCode } from '../../support/trust/simulation/publishing-code.ts';
import { drawScenario, SMALL } from '../../support/trust/simulation/scenario.ts';
import { simulate } from '../../support/trust/simulation/simulate.ts';

const versionsOf = ({ chance }: PublishOptions) => trustVersions((range) => chance.below(range));

/** Everything that a few schedules without any fault have against some code. */
async function complaints(codeOf: () => PublishingCode): Promise<string> {
  const found: string[] = [];
  for (let seed = 1; seed <= 10; seed++) {
    const scenario = drawScenario(seed, 'calm', SMALL);
    const dialect = { ...scenario.dialect, comparesAndSwaps: false };
    found.push(...(await simulate({ ...scenario, dialect, resigners: 0 }, codeOf())).violations);
  }
  return found.join('\n');
}

describe('the simulation', () => {
  it('catches versions that collide', async () => {
    const code = () => naivePublisher({ versions: () => consecutiveVersions });
    expect(await complaints(code)).toMatch(/two files of timestamp [0-9]+ were pushed/);
  });

  it('catches finished changes that are lost', async () => {
    const code = () => naivePublisher({ versions: versionsOf });
    const found = await complaints(code);
    expect(found).toMatch(/a done change is in no head, even after one more fold/);
    expect(found).not.toMatch(/two files of/);
    expect(found).not.toMatch(/older/);
  });

  it('catches changes that are applied again after their log was cut', async () => {
    const code = () => naivePublisher({ versions: versionsOf, forgets: true });
    expect(await complaints(code)).toMatch(
      /the log of names lists [0-9a-f]{32}, which is older than it says/,
    );
  });

  it('catches publishers who never end', async () => {
    const code = naivePublisher({ versions: versionsOf });
    const stuck = { ...code, publishNames: () => new Promise<never>(() => {}) };
    expect(await complaints(() => stuck)).toMatch(/somebody waits for something that never comes/);
  });

  it('catches publishers who say that a change is done and it is not', async () => {
    const code = naivePublisher({ versions: versionsOf });
    const lying: PublishingCode = {
      ...code,
      publishNames: async (...args) => ({ ...(await code.publishNames(...args)), ids: ['0'.repeat(32)] }),
    };
    expect(await complaints(() => lying)).toMatch(
      /was told that its change is in a head that does not hold it/,
    );
  });

  it('plays a schedule again from its seed', async () => {
    const code = naivePublisher({ versions: versionsOf });
    const scenario = drawScenario(7, 'attacked', SMALL);
    expect(await simulate(scenario, code)).toEqual(await simulate(scenario, code));
  });
});
