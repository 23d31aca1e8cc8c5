import { BullaError } from '../../errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { CallOptions } from '../../oci/target.ts';
import { isBin } from '../../tuf/hash-bins.ts';
import type { MetadataFetcher } from '../../tuf/ports.ts';
import { parseFileName } from '../../tuf/role-name.ts';
import { fetchFile, type ObjectSource, openShard, placeOfBin, type TrustObject } from '../format/object.ts';
import { BIN_PREFIX } from '../format/vocabulary.ts';

/**
 * The files of one trust object as a TUF repository. What an object does not list is not there: it is
 * complete, and content-addressed, so that no file of it can be withheld without an error.
 */
export class ObjectFetcher implements MetadataFetcher {
  private readonly source: ObjectSource;
  private readonly object: TrustObject;
  private readonly options: CallOptions;
  private readonly shards = new Map<number, Promise<readonly Descriptor[]>>();

  constructor(source: ObjectSource, object: TrustObject, options: CallOptions = {}) {
    this.source = source;
    this.object = object;
    this.options = options;
  }

  async fetchMetadata(fileName: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const descriptor = this.object.files.get(fileName) ?? (await this.binOf(fileName));
    if (descriptor === undefined) return undefined;
    if (descriptor.size > maxBytes) throw tooLarge(fileName, descriptor.size, maxBytes);
    return await fetchFile(this.source, descriptor, maxBytes, this.options);
  }

  /** Descriptor of a bin in a shard: its version is told by the file alone. */
  private async binOf(fileName: string): Promise<Descriptor | undefined> {
    const { bins } = this.object;
    const role = parseFileName(fileName)?.role;
    if (bins === undefined || role === undefined) return undefined;
    if (!isBin({ bitLength: bins.bits, namePrefix: BIN_PREFIX }, role)) return undefined;
    const { shard, at } = placeOfBin(bins.bits, Number.parseInt(role.slice(BIN_PREFIX.length + 1), 16));
    let opening = this.shards.get(shard);
    if (opening === undefined) {
      opening = openShard(this.source, bins, bins.shards[shard] as Descriptor, this.options);
      this.shards.set(shard, opening);
    }
    return (await opening)[at];
  }
}

/** The same code as for a file that is too small: neither matches its listing. */
function tooLarge(fileName: string, size: number, maxBytes: number): BullaError {
  return new BullaError(
    'trust-invalid',
    `${fileName} is listed with ${size} bytes, and at most ${maxBytes} were expected`,
    {
      hint: 'the head was put together from parts of different moments, or is hostile',
      details: { fileName, reason: 'length' },
    },
  );
}
