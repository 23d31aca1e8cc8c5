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
  { made, head, stage, shortcomings, chosen, expires, handOver, here }: InitResult,
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
    waiting: handOver?.change ?? null,
    keys: described,
    expires: Object.fromEntries([...expires].map(([role, time]) => [role, formatTime(time)])),
    shortcomings,
  });
  const until = (role: string): string => formatTime(expires.get(role) as Date);
  const rootIds = chosen.root.keys.map(({ keyid }) => `--root-key-id ${keyid}`).join(' ');
  if (stage !== undefined)
    output.info(
      `staged as ${stage}: there is no head before the online key has signed; where it is, run: bulla init ${place} --complete ${rootIds}`,
    );
  else
    output.info(`fresh until ${until('timestamp')}: before that, something must run: bulla resign ${place}`);
  const structure =
    until('root') === until('targets')
      ? `root and targets last until ${until('root')}`
      : `root lasts until ${until('root')}, targets until ${until('targets')}`;
  output.info(`${structure}: bulla rotate ${place} root --renew`);
  for (const line of handOverLines(place, rootIds, chosen.names, handOver)) output.info(line);
  for (const line of here.size === Object.keys(chosen).length ? ALL_HERE : [BACKUP, SHARED])
    output.info(line);
  for (const sentence of shortcomings) output.warn(`${place}: ${sentence}`);
}

const BACKUP = 'keep a copy of the root key in another building, and off machines that publish';
const SHARED =
  'the same root and publisher keys serve any number of repositories: run bulla init for each; bulla keys report shows what each key signs';

/** What to do soon where one machine has every key. */
const ALL_HERE: readonly string[] = [
  'all keys are on this machine: that is a start, but anyone who takes it can sign everything',
  'move root away soon, and keep a copy: bulla key export root --out /media/usb/root.key, then bulla key rm root --force (docs/team.md)',
  'give the online key to a re-signer',
  SHARED,
];

/** What the owners of the keys of `names` have to do before names can be signed. */
function handOverLines(
  place: string,
  rootIds: string,
  { keys, threshold }: InitResult['chosen']['names'],
  handOver: InitResult['handOver'],
): readonly string[] {
  if (handOver === undefined) return [];
  const { change } = handOver;
  if (change === undefined)
    return [
      'root signs for names until that is done; then hand names over, here:',
      `  bulla rotate ${place} names ${keys.map(({ keyid }) => `--key ${keyid.slice(0, 12)}.pub`).join(' ')} --threshold ${threshold} --stage`,
    ];
  return [
    `root signs for names until ${threshold === keys.length ? 'all' : threshold} of its ${keys.length} keys have approved; the owner of each runs:`,
    `  bulla pin ${place} ${rootIds}`,
    `  bulla approve ${place} ${change.id}`,
  ];
}
