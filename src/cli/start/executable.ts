import { dirname } from 'node:path';
import { isPlugin } from '../docker-trust/plugin.ts';
import { launch } from './launch.ts';

/**
 * Entry of the single executable: the program, and what V8 has compiled of it, are parts of the file itself. Packages that
 * users install (pkcs11js) are looked for as if the program lay beside the executable.
 */
const { getRawAsset } = process.getBuiltinModule('node:sea') as Parts;

// Node repeats the name it was called by. The plug-in is known by that; anything else needs a path that can be run again.
if (!isPlugin(process.argv[1])) process.argv[1] = process.execPath;
launch(dirname(process.execPath), (name) => Buffer.from(getRawAsset(name)));

interface Parts {
  /** The bytes themselves, not a copy: nothing may write to them. @throws Error where there is no such part */
  readonly getRawAsset: (name: string) => ArrayBuffer;
}
