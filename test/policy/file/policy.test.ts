import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../../src/policy/file/parse.ts';
import { type PolicyMaterial, policyOf, ruleFor } from '../../../src/policy/file/policy.ts';

const material: PolicyMaterial = {
  keys: async () => [],
  certificates: async () => [],
  file: async () => new Uint8Array(),
  trustedRoot: async () => ({ logs: [], certificateLogs: [], authorities: [], timestampAuthorities: [] }),
};
const policy = async (text: string) => await policyOf(parsePolicy(text, 'policy.yaml'), material);

describe('the rule for a repository', () => {
  const scopes = ['r.example/*', 'r.example/team/*', 'r.example/team/app', 'docker.io/library/alpine', '*'];
  it.each([
    ['r.example/team/app', 'r.example/team/app'],
    ['r.example:443/team/app', 'r.example/team/app'],
    ['r.example/team/app/debug', 'r.example/team/*'],
    ['r.example/team2/app', 'r.example/*'],
    ['r.example/team', 'r.example/*'],
    ['evil.example/r.example/team/app', '*'],
    ['r.example.evil.example/team/app', '*'],
    ['xr.example/team/app', '*'],
    ['docker.io/alpine', 'docker.io/library/alpine'],
    ['index.docker.io/library/alpine', 'docker.io/library/alpine'],
    ['docker.io/other/alpine', '*'],
  ])('%s is that for %s, in whatever order', async (repository, scope) => {
    for (const order of [scopes, [...scopes].reverse()]) {
      const text = `version: 1\nrules: ${JSON.stringify(order.map((each) => ({ scope: each, deny: 'x' })))}`;
      expect(ruleFor(await policy(text), repository)?.scope).toBe(scope);
    }
  });

  it('is none where nothing matches', async () => {
    const text = 'version: 1\nrules: [{ scope: r.example/team/*, allow: x }]';
    expect(ruleFor(await policy(text), 'r.example/team')).toBeUndefined();
  });

  it('has its own mode, else that of the file, else enforces', async () => {
    const rules =
      'rules: [{ scope: a.example/*, allow: x }, { scope: b.example/*, allow: x, mode: enforce }]';
    const audit = await policy(`version: 1\nmode: audit\n${rules}`);
    expect(audit.rules.map(({ mode }) => mode)).toEqual(['audit', 'enforce']);
    expect((await policy(`version: 1\n${rules}`)).rules.map(({ mode }) => mode)).toEqual([
      'enforce',
      'enforce',
    ]);
  });

  it('refuses demands that read no key', async () => {
    await expect(
      policy('version: 1\nrules: [{ scope: r.example/app, signatures: [{ keys: [empty.pub] }] }]'),
    ).rejects.toMatchObject({ code: 'policy-invalid' });
  });
});
