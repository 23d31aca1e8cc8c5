import {
  type ChangeRolesOptions,
  changeRoles,
  exportRoles,
  importRoles,
} from '../../../actions/change/change-roles.ts';
import { openCopy } from '../../../actions/change/place.ts';
import type { KeysAtHand } from '../../../actions/sign/keys-at-hand.ts';
import { BullaError } from '../../../errors.ts';
import type { StructureChange } from '../../../trust/change/role-changes.ts';
import { type ChangeFlags, openChangePlace, repositoryIn } from '../../flags/change-flags.ts';
import { awaitsSigners } from '../../flags/publish-flags.ts';
import { printChanged, printChangeFile, tellIntake, tellMissing } from '../../render/change-text.ts';
import { pieces } from '../../render/printer.ts';
import { askYes } from '../../shell/confirm.ts';
import type { Context } from '../../shell/context.ts';
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
  const reference = repositoryIn(text);
  const { exportUnsigned, importSigned = [], signWith = [] } = flags;
  assertCompatible(flags, maker);
  const key = [...signWith, ...(maker.keys ?? [])];
  const write = exportUnsigned === undefined;
  const place = await openChangePlace(context, reference, flags, { ...flags, key }, { write });
  const copy = await openCopy(place);
  const { output } = context;
  const options: ChangeRolesOptions = {
    stageOnly: flags.stage,
    awaitsSigners: awaitsSigners(flags, place),
    isCarried: maker.isCarried,
    agree: async (preview) => {
      tellIntake(output, preview);
      const isAgreed = flags.yes === true || (await askYes(context.io, 'Take it in?')) === true;
      if (!isAgreed) output.info('it is left waiting; with --yes it is included');
      return isAgreed;
    },
    onStaged: (change) => {
      for (const line of change.describe().flatMap(pieces)) output.info(line);
    },
  };
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
  for (const line of exported.describe().flatMap(pieces)) output.info(line);
  printChangeFile(output, exported, exportUnsigned);
  tellMissing(output, exported.missing(), exportUnsigned);
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
