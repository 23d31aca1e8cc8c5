import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { admit } from '../../src/actions/gate/admit.ts';
import type { Review } from '../../src/actions/gate/review.ts';
import { type Verdict, withoutAsking } from '../../src/actions/gate/verdict.ts';
import { isRefusal } from '../../src/actions/verify/by-policy.ts';
import { BullaError, type ErrorCode, EXIT_CODES } from '../../src/errors.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { parsePolicy } from '../../src/policy/file/parse.ts';
import { policyOf } from '../../src/policy/file/policy.ts';

const root = new URL('../../', import.meta.url);
const page = await readFile(new URL('docs/gate-blocks.md', root), 'utf8');
const rows = [...page.matchAll(/^\| `([a-z-]+)` \| `([^`]+)` \| (.+) \|$/gm)].map(
  ([, code = '', says = '', todo = '']) => ({ code, says, todo }),
);

/** What the API server is told about an image, by a policy that needs no registry for it, or with a verdict. */
async function told(image: string, verdict?: Verdict): Promise<string> {
  const policy = await policyOf(
    parsePolicy('version: 1\nrules: [{ scope: r.example/denied, deny: use the mirror }]', 'policy'),
    { keys: async () => [], certificates: async () => [], trustedRoot: async () => undefined } as never,
  );
  const review = { subject: 'Deployment/web', images: [{ place: 'containers/web', pointer: '/x', image }] };
  const { refusal } = await admit(review as unknown as Review, 'validate', async (asked) => {
    const answer = verdict ?? withoutAsking(asked, policy);
    if (answer === undefined) throw new Error('it needs a registry');
    return answer;
  });
  return refusal?.message ?? '';
}

describe('docs/gate-blocks.md', () => {
  it('has every code by which an image can be refused, and what to do', () => {
    const refusals = (Object.keys(EXIT_CODES) as ErrorCode[]).filter((code) =>
      isRefusal(new BullaError(code, 'x')),
    );
    expect(refusals.length).toBeGreaterThan(10);
    for (const code of refusals) expect(rows.map((row) => row.code)).toContain(code);
    for (const { code, todo } of rows) {
      expect(Object.keys(EXIT_CODES)).toContain(code);
      expect(todo.length).toBeGreaterThan(15);
    }
  });

  it.each(rows)('quotes what is said: $code, $says', async ({ code, says }) => {
    const files = await sources();
    const found = files.filter((text) => text.includes(says) || text.includes(says.replaceAll("'", "\\'")));
    expect(found.length).toBeGreaterThan(0);
    // Of several kinds of signatures, the nearest refusal chooses the code.
    if (says !== 'has no signature that counts; expected')
      expect(found.some((text) => text.includes(`'${code}'`))).toBe(true);
  });

  it.each([
    ['r.example/other:1', undefined, 'policy-denied', 'no rule of the policy is about'],
    ['r.example/denied:1', undefined, 'policy-denied', 'is denied by the rule for'],
    ['oci:here', undefined, 'usage', 'is not an image in a registry'],
    [
      'r.example/app:1',
      { outcome: 'verified', mode: 'enforce', digest: `sha256:${'a'.repeat(64)}` as Digest, signers: [] },
      'policy-denied',
      'is verified, but written without its digest',
    ],
  ] as const)('the gate says it of %s', async (image, verdict, code, says) => {
    const message = await told(image, verdict);
    expect(message).toContain('Deployment/web is denied: containers/web: ');
    expect(message).toContain(says);
    expect(message).toContain(`[${code}]`);
    expect(rows).toContainEqual(expect.objectContaining({ code, says }));
  });
});

let read: Promise<readonly string[]> | undefined;

function sources(): Promise<readonly string[]> {
  read ??= readdir(new URL('src/', root), { recursive: true }).then((names) =>
    Promise.all(
      names
        .filter((name) => name.endsWith('.ts'))
        .map((name) => readFile(new URL(`src/${name}`, root), 'utf8')),
    ),
  );
  return read;
}
