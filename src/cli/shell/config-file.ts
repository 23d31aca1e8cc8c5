import { readSmallFile } from '../../disk/small-file.ts';
import { decodeUtf8 } from '../../encoding/bytes.ts';
import type { ConfigFile } from './registry-settings.ts';

const NONE: ConfigFile = { settings: new Map(), registries: new Map() };

/**
 * Reads the configuration file; empty settings where it does not exist.
 * @throws BullaError config-invalid, storage-error
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const bytes = readSmallFile(path, 256 * 1024);
  if (bytes === undefined) return NONE;
  // Most people have no such file, and the parser takes longer to load than everything else before the first request.
  const { parseConfigFile } = await import('./config-schema.ts');
  return parseConfigFile(decodeUtf8(bytes, path), path);
}
