import type { InitResult } from '../../actions/change/init.ts';
import type { CollectionPlace, KeySource } from '../../actions/change/place.ts';
import { formatTime } from '../../encoding/time.ts';
import type { Printer } from './printer.ts';

/** Tells what was made, until when it counts, and what to do next. */
export async function printInit(
  output: Printer,
  {
    name,
    place,
    keys,
  }: Pick<CollectionPlace, 'name' | 'place'> & { readonly keys: Pick<KeySource, 'nameOf'> },
  { made, head, stage, shortcomings, chosen, expires }: InitResult,
  generated: ReadonlySet<string>,
): Promise<void> {
  const lines = [`${name}  collection ${made.id}`];
  const described: Record<string, unknown> = {};
  for (const [role, choice] of Object.entries(chosen)) {
    const listed = await Promise.all(
      choice.keys.map(async (key) => {
        const called = (await keys.nameOf(key)) ?? null;
        return { keyid: key.keyid, name: called, made: called !== null && generated.has(called) };
      }),
    );
    described[role] = { threshold: choice.threshold, keys: listed };
    for (const { keyid, name: called, made: isNew } of listed)
      lines.push(`  ${role.padEnd(7)}${keyid}  ${called ?? ''}${isNew ? ' (made)' : ''}`.trimEnd());
  }
  output.result(lines, {
    collection: name,
    place,
    id: made.id,
    head: head ?? null,
    stage: stage ?? null,
    keys: described,
    expires: Object.fromEntries([...expires].map(([role, time]) => [role, formatTime(time)])),
    shortcomings,
  });
  const until = (role: string): string => formatTime(expires.get(role) as Date);
  if (stage !== undefined)
    output.info(
      `staged as ${stage}: there is no head before the online key has signed; where it is, run: bulla init ${place} --complete --root-key-id KEYID`,
    );
  else
    output.info(`fresh until ${until('timestamp')}: before that, something must run: bulla resign ${place}`);
  output.info(`root and targets last until ${until('root')}: bulla rotate ${place} root --renew`);
  output.info('keep a copy of the root key in another building, and off machines that publish');
  for (const sentence of shortcomings) output.warn(`${place}: ${sentence}`);
}
