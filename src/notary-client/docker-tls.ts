import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno, storageError } from '../disk/errno.ts';
import { readSmallFile } from '../disk/small-file.ts';
import { decodeUtf8 } from '../encoding/bytes.ts';
import type { TlsOptions } from '../http/connector.ts';

const MAX_PEM_BYTES = 1024 * 1024;

/**
 * What docker keeps for a server in a directory: authorities in `*.crt`, a client certificate in `NAME.cert`
 * with its key in `NAME.key`, of several the first.
 * @returns nothing where there is no such directory
 * @throws BullaError storage-error, content-invalid
 */
export async function readDockerTls(directory: string): Promise<Pick<TlsOptions, 'ca' | 'cert' | 'key'>> {
  const names = namesIn(directory);
  const read = (name: string): string => {
    const path = join(directory, name);
    return decodeUtf8(readSmallFile(path, MAX_PEM_BYTES) ?? new Uint8Array(), path);
  };
  const authorities = names.filter((name) => name.endsWith('.crt')).map(read);
  const client = names.find((name) => name.endsWith('.cert') && names.includes(keyOf(name)));
  return {
    ...(authorities.length > 0 && { ca: authorities.join('\n') }),
    ...(client !== undefined && { cert: read(client), key: read(keyOf(client)) }),
  };
}

function keyOf(certificate: string): string {
  return certificate.replace(/\.cert$/, '.key');
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return [];
    throw storageError(`cannot list ${directory}`, error);
  }
}
