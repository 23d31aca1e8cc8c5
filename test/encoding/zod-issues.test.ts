import { expect, it } from 'vitest';
import * as z from 'zod/mini';
import { issuesText } from '../../src/encoding/zod-issues.ts';

it('tells all that is wrong in one line, and where', () => {
  const schema = z.strictObject({ list: z.array(z.strictObject({ size: z.number() })) });
  const { error } = schema.safeParse({ list: [{ size: 'big' }], lisst: [] });
  expect(issuesText(error!)).toBe(
    'Invalid input: expected number, received string at list[0].size; Unrecognized key: "lisst"',
  );
});

it('says which members are missing', () => {
  const schema = z.object({ list: z.array(z.object({ size: z.number() })), name: z.string() });
  const { error } = schema.safeParse({ list: [{}] });
  expect(issuesText(error!)).toBe(
    'list[0].size is missing: expected number; name is missing: expected string',
  );
});
