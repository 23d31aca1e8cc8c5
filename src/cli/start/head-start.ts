import { statSync } from 'node:fs';
import { isErrno } from '../../disk/errno.ts';
import { EarlyConnection, namesProxy } from '../../http/early-connection.ts';
import { parseReference } from '../../oci/reference.ts';
import { endpointOf } from '../../registry/endpoint.ts';
import { configFile, directories, homeDirectory } from '../../state/directories.ts';
import type { Io } from '../shell/io.ts';

/** Flags without a value that may stand before the image. */
const SWITCHES: ReadonlySet<string> = new Set([
  ...['-q', '--quiet', '-v', '--verbose', '--trace', '--no-progress', '--insecure', '--plain-http'],
]);
/** With one of these, whatever else is there, nothing is to be connected to. */
const ENDS = /^(--off|--help$|-h$|--$)/;

/**
 * Begins the connection of `verify IMAGE` before the program is loaded, which knows for certain what a command
 * line means. So this is for plain cases only: what could forbid sockets, or lead elsewhere, leaves it to the
 * program, which also has the last word on whether the connection is the right one.
 */
export function headStart(
  argv: readonly string[],
  io: Pick<Io, 'env' | 'home'>,
): EarlyConnection | undefined {
  const { env } = io;
  const [command, image] = argv.filter((word) => !SWITCHES.has(word));
  if (command !== 'verify' || image === undefined || image.startsWith('-')) return undefined;
  if (argv.some((word) => ENDS.test(word)) || namesProxy(env)) return undefined;
  if (env['BULLA_OFFLINE'] || env['BULLA_PLAIN_HTTP'] || !isMissing(configFile(directories(io))))
    return undefined;
  const url = registryOf(image, argv.includes('--plain-http') ? true : undefined);
  return url === undefined ? undefined : new EarlyConnection(url);
}

/** As the process that runs has it. */
export function headStartOf({ argv, env }: NodeJS.Process): EarlyConnection | undefined {
  return headStart(argv.slice(2), { env, home: homeDirectory() });
}

/** Only a file that is certainly not there says nothing. */
function isMissing(path: string): boolean {
  try {
    statSync(path);
    return false;
  } catch (error) {
    return isErrno(error, 'ENOENT');
  }
}

function registryOf(image: string, plainHttp: boolean | undefined): URL | undefined {
  try {
    const { kind, tag, digest, ...place } = parseReference(image);
    if (kind !== 'registry' || (tag ?? digest) === undefined || !('registry' in place)) return undefined;
    return endpointOf(place.registry, plainHttp);
  } catch {
    // The program will say what is wrong with it.
    return undefined;
  }
}
