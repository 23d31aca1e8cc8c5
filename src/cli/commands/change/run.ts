import {
  type ChangedRoles,
  type ChangeRolesOptions,
  changeRoles,
  exportRoles,
  importRoles,
} from '../../../actions/change/change-roles.ts';
import { type ChangePlace, openCopy } from '../../../actions/change/place.ts';
import type { KeysAtHand } from '../../../actions/sign/keys-at-hand.ts';
import { BullaError } from '../../../errors.ts';
import type { StructureChange } from '../../../trust/change/role-changes.ts';
import { type ChangeFlags, openChangePlace, repositoryIn } from '../../flags/change-flags.ts';
import { awaitsSigners } from '../../flags/publish-flags.ts';
import { keysAtHand } from '../../flags/trust-keys.ts';
import { printChanged, printChangeFile, tellIntake, tellMissing } from '../../render/change-text.ts';
import { type Printer, pieces, prefixed } from '../../render/printer.ts';
import { askYes } from '../../shell/confirm.ts';
import type { Context } from '../../shell/context.ts';
import { runMany } from '../../shell/many.ts';
import { readChange, writeChange } from './files.ts';

/** What a command makes of its flags, after the keys were found. */
export interface ChangeMaker {
  /** Further keys that may sign: new ones sign what they are to be trusted with. */
  readonly keys?: readonly string[];
  /** False for what is only made where the registry can be asked. */
  readonly isCarried?: boolean;
  make(keys: KeysAtHand): Promise<StructureChange>;
}

/**
 * `bulla rotate` and `bulla signer add|rm`: publishes a change of roles or keys, writes it to a file to be signed
 * elsewhere (`--export-unsigned`), or publishes what was signed there (`--import-signed`).
 */
export async function runChange(
  context: Context,
  text: string,
  flags: ChangeFlags,
  maker: ChangeMaker,
): Promise<void> {
  const { output } = context;
  const reference = repositoryIn(text);
  const { exportUnsigned, importSigned = [], signWith = [] } = flags;
  assertCompatible(flags, maker);
  const key = [...signWith, ...(maker.keys ?? [])];
  const write = exportUnsigned === undefined;
  const place = await openChangePlace(context, reference, flags, { ...flags, key }, { write });
  const copy = await openCopy(place);
  const options = changeOptions(context, flags, maker, place, output);
  if (importSigned.length > 0) {
    const copies = await Promise.all(importSigned.map((path) => readChange(context, path)));
    return printChanged(output, place.name, await importRoles(place, copy, copies, options));
  }
  const change = await maker.make(place.keys);
  if (exportUnsigned === undefined)
    return printChanged(output, place.name, await changeRoles(place, copy, change, options));
  // Keys that were not named stay closed: what is exported is to be signed elsewhere.
  const exported = await exportRoles(place, copy, change, signWith.length > 0);
  await writeChange(context, exportUnsigned, exported, false);
  for (const line of [`change ${exported.digest}`, ...exported.describe()].flatMap(pieces)) output.info(line);
  printChangeFile(output, exported, exportUnsigned);
  tellMissing(output, exported.missing(), exportUnsigned);
}

/**
 * The same change of many collections: a line for each, and a summary. Keys are opened once. What others have staged is
 * taken in only with `--yes`: it is not asked for each of them.
 * @throws BullaError usage; with the code of the collection that failed with the greatest exit status
 */
export async function runChanges(
  context: Context,
  repositories: () => Promise<readonly string[]>,
  flags: ChangeFlags,
  maker: ChangeMaker,
): Promise<void> {
  const { exportUnsigned, importSigned, signWith = [] } = flags;
  if (exportUnsigned !== undefined || importSigned !== undefined || flags.at !== undefined)
    throw new BullaError(
      'usage',
      'a change of many collections cannot be carried in a file, or have one place',
      {
        hint: 'leave --export-unsigned, --import-signed and --at out, or name one repository',
      },
    );
  assertCompatible(flags, maker);
  const keys = keysAtHand(context, { ...flags, key: [...signWith, ...(maker.keys ?? [])] });
  const work = async (text: string): Promise<ChangedRoles> => {
    const output = prefixed(context.output, text);
    const opened = await openChangePlace(context, repositoryIn(text), flags, flags);
    const publish = {
      ...opened.publish,
      onWarning: (message: string) => output.warn(message),
      onProgress: (message: string) => output.info(message),
    };
    const place = { ...opened, publish, keys };
    const copy = await openCopy(place);
    return await changeRoles(
      place,
      copy,
      await maker.make(keys),
      changeOptions(context, flags, maker, place, output),
    );
  };
  await runMany(context, await repositories(), 'changed', work, ({ head, changes }, text) => {
    for (const line of changes.flatMap(pieces)) context.output.verbose(`${text}: ${line}`);
    context.output.result(`${text}@${head}`, { given: text, collection: text, published: head, changes });
  });
}

function changeOptions(
  context: Context,
  flags: ChangeFlags,
  maker: ChangeMaker,
  place: ChangePlace,
  output: Printer,
): ChangeRolesOptions {
  const isOne = output === context.output;
  return {
    stageOnly: flags.stage,
    awaitsSigners: awaitsSigners(flags, place),
    isCarried: maker.isCarried,
    agree: async (preview) => {
      tellIntake(output, preview);
      const isAgreed = flags.yes === true || (isOne && (await askYes(context.io, 'Take it in?')) === true);
      if (!isAgreed) output.info('it is left waiting; with --yes it is included');
      return isAgreed;
    },
    onStaged: (change) => {
      for (const line of change.describe().flatMap(pieces)) output.info(line);
    },
  };
}

function assertCompatible(
  { exportUnsigned, importSigned = [], stage }: ChangeFlags,
  maker: ChangeMaker,
): void {
  if (exportUnsigned !== undefined && importSigned.length > 0)
    throw new BullaError('usage', '--export-unsigned and --import-signed exclude each other', {
      hint: 'export first, have it signed (bulla approve FILE), then import',
    });
  const isElsewhere = exportUnsigned !== undefined || importSigned.length > 0 || stage === true;
  if (maker.isCarried === false && isElsewhere)
    throw new BullaError('usage', 'a repair is made where the registry can be asked what is broken', {
      hint: 'run it where the keys are, without --export-unsigned, --import-signed and --stage',
    });
}
