import { expect, it } from 'vitest';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import type { Tag } from '../../../src/oci/reference.ts';
import type { Target } from '../../../src/oci/target.ts';
import { readStagedChanges } from '../../../src/trust/approve/stage-change.ts';
import { assembleStage } from '../../../src/trust/format/assemble.ts';
import { openTrustObject } from '../../../src/trust/format/object.ts';
import { WorkingCopy } from '../../../src/trust/read/working-copy.ts';
import { writeRepositoryFiles } from '../../../src/tuf/edit/repository.ts';
import { readAny } from '../../support/trust/changing.ts';
import { pushAssembly } from '../../support/trust/collection.ts';
import { servedCollection } from '../../support/trust/served.ts';
import { NOW } from '../../support/tuf/editing.ts';

const LARGE = new Uint8Array(4 * 1024 * 1024).fill(32);
const LIMIT = 32 * 1024 * 1024;

/** A target that counts what is fetched of it, without what is inlined. */
function counting(target: Target, counted: { bytes: number }): Target {
  return new Proxy(target, {
    get: (object, name) => {
      const member = Reflect.get(object, name) as unknown;
      if (name !== 'fetchBlob' || typeof member !== 'function')
        return typeof member === 'function' ? member.bind(object) : member;
      return async (descriptor: Descriptor, ...rest: unknown[]) => {
        counted.bytes += descriptor.size;
        return await member.call(object, descriptor, ...rest);
      };
    },
  });
}

it.each<[string, number, (targets: Uint8Array) => Map<string, Uint8Array>]>([
  ['targets that nobody signed', 1, () => new Map([['99999999999.targets.json', LARGE]])],
  ['many names for one blob, beside targets that nobody signed', 1, () => many(LARGE)],
  ['many names for one blob, beside targets of another version', 1, (targets) => many(targets)],
  ['many stages of that', 12, (targets) => many(targets)],
  ['a root that nobody signed', 12, () => new Map([['2.root.json', LARGE]])],
])(
  'a stage of a keyless pusher makes nobody read very much: %s',
  async (_, count, make) => {
    const { target } = await servedCollection();
    const copy = await WorkingCopy.open(await readAny(target));
    const present = [...writeRepositoryFiles(copy.files)].find(([name]) =>
      name.endsWith('.targets.json'),
    )![1];
    const unsigned = JSON.parse(Buffer.from(present).toString()) as { signatures: unknown[] };
    unsigned.signatures = [];
    const stage = assembleStage({
      files: make(new Uint8Array(Buffer.from(JSON.stringify(unsigned)))),
      logs: new Map(),
    });
    await pushAssembly(target, stage, '_trust.stage.0123456789abcdef' as Tag);
    const counted = { bytes: 0 };
    const source = counting(target, counted);
    const object = await openTrustObject(source, stage.top);
    const objects = new Map(Array.from({ length: count }, (_, at) => [`_trust.stage.${at}` as Tag, object]));
    const codes: string[] = [];
    const onRefused = (_tag: Tag, { code }: { readonly code: string }) => codes.push(code);
    expect(await readStagedChanges(source as never, copy, objects, NOW, { onRefused })).toEqual([]);
    expect(counted.bytes).toBeLessThanOrEqual(LIMIT);
    expect(codes).toHaveLength(count);
  },
  120_000,
);

function many(targets: Uint8Array): Map<string, Uint8Array> {
  return new Map([
    ['99999999999.targets.json', targets],
    ...Array.from({ length: 300 }, (_, at) => [`1.x${at}.json`, LARGE] as const),
  ]);
}
