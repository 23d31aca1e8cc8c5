import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isBullaError } from '../../../src/errors.ts';
import { refresh } from '../../../src/tuf/client.ts';
import { removeTargetFrom, setTargetIn, spreadOverBins } from '../../../src/tuf/edit/bins.ts';
import { RepositoryEdit } from '../../../src/tuf/edit/edit.ts';
import { type RepositoryFiles, writeRepositoryFiles } from '../../../src/tuf/edit/repository.ts';
import { MemoryFetcher, MemoryStateStore } from '../../../src/tuf/memory.ts';
import {
  anyOf,
  daysLater,
  freshClient,
  NOW,
  ONLINE,
  PUBLISHER,
  ROOT,
  signersOf,
  simpleRepository,
  targetOf,
} from '../../support/tuf/editing.ts';
import { makeKey, poolKey, type TestKey } from '../../support/tuf/keys.ts';

/** Keys that roles have at some time; Ed25519 beside P-256, so that both are rotated to and from. */
const keyring: TestKey[] = [0, 1, 2, 3, 4].map(poolKey).concat(makeKey('Ed25519'), makeKey('Ed25519'));
const name = fc.constantFrom('v1', 'v2', 'a/b', 'ü', '__proto__', '10');
const keys = fc.uniqueArray(fc.nat(keyring.length - 1), { minLength: 1, maxLength: 3 });

type Change = (edit: RepositoryEdit, expected: Map<string, string>) => void;

/** What may be done to a repository, as values that fast-check can print and shrink. */
const step: fc.Arbitrary<{ readonly what: string; readonly apply: Change }> = fc.oneof(
  fc.tuple(name, fc.constantFrom('1', '2', '3')).map(([path, text]) => ({
    what: `set ${path} ${text}`,
    apply: (edit: RepositoryEdit, expected: Map<string, string>) => {
      setTargetIn(edit, 'names', path, targetOf(text));
      expected.set(path, text);
    },
  })),
  name.map((path) => ({
    what: `remove ${path}`,
    apply: (edit: RepositoryEdit, expected: Map<string, string>) => {
      expect(removeTargetFrom(edit, 'names', path)).toBe(expected.delete(path));
    },
  })),
  fc
    .tuple(fc.constantFrom('root', 'targets', 'snapshot', 'timestamp'), keys, fc.nat(2))
    .map(([role, indices, more]) => ({
      what: `keys of ${role}: ${indices}`,
      apply: (edit: RepositoryEdit) =>
        edit
          .root()
          .setKeys(role as 'root', anyOf(1 + (more % indices.length), ...indices.map((i) => keyring[i]!))),
    })),
  keys.map((indices) => ({
    what: `keys of names: ${indices}`,
    apply: (edit: RepositoryEdit) =>
      edit
        .targets('targets')
        .setDelegationKeys('names', anyOf(indices.length, ...indices.map((i) => keyring[i]!))),
  })),
  fc.tuple(fc.integer({ min: 1, max: 3 }), keys).map(([bitLength, indices]) => ({
    what: `${bitLength} bits of bins`,
    apply: (edit: RepositoryEdit) =>
      spreadOverBins(
        edit,
        'names',
        { bitLength, namePrefix: 'b' },
        anyOf(1, ...indices.map((i) => keyring[i]!)),
      ),
  })),
  fc.constantFrom('root', 'targets', 'names', 'snapshot', 'timestamp').map((role) => ({
    what: `renew ${role}`,
    apply: (edit: RepositoryEdit) => edit.renew(role),
  })),
);

describe('whatever is edited', () => {
  it('refreshes afterwards, for clients that know any earlier state, and names exactly what was signed', async () => {
    const signers = signersOf(...keyring);
    const base = await simpleRepository({});
    const first = new RepositoryEdit(base, { now: NOW });
    first.targets('targets').setDelegationPaths('names', { paths: ['*', '*/*'] });
    const start = await first.prepare().publish(signers);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 }),
        async (edits) => {
          let repository: RepositoryFiles = start;
          const expected = new Map<string, string>();
          const stores = [new MemoryStateStore()];
          for (const [day, steps] of edits.entries()) {
            const now = daysLater(day);
            const edit = new RepositoryEdit(repository, { now });
            for (const { apply } of steps) apply(edit, expected);
            repository = await edit.prepare().publish(signers);
            stores.push(new MemoryStateStore());
            for (const store of stores) {
              const fetcher = new MemoryFetcher(writeRepositoryFiles(repository));
              const client = await refresh(fetcher, store, now, { initialRoot: start.roots[0]!.bytes });
              for (const path of ['v1', 'v2', 'a/b', 'ü', '__proto__', '10']) {
                const text = expected.get(path);
                const found = client.findTarget(path).then(({ target }) => target.hashes.get('sha256'));
                if (text === undefined) await expect(found).rejects.toThrow(/no role names/);
                else expect(await found).toBe(targetOf(text).hashes['sha256']);
              }
            }
          }
        },
      ),
      { numRuns: 12 },
    );
  });
});

describe('a repository of which one byte is changed', () => {
  it('never says anything else than was signed', async () => {
    const base = await simpleRepository({ v1: 'one' });
    const rotation = new RepositoryEdit(base, { now: NOW });
    rotation.root().setKeys('root', anyOf(1, poolKey(3)));
    const repository = await rotation
      .prepare()
      .publish(signersOf(...[ROOT, PUBLISHER, ONLINE, 3].map(poolKey)));
    const files = writeRepositoryFiles(repository);
    const client = await freshClient(repository);
    const signed = (await client.findTarget('v1')).target.json;
    const names = [...files.keys()].filter((file) => file !== '1.root.json');
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (file, at, flip) => {
          const bytes = Uint8Array.from(files.get(file)!);
          bytes[at % bytes.byteLength]! ^= flip;
          const initialRoot = repository.roots[0]!.bytes;
          const fetcher = new MemoryFetcher(new Map(files).set(file, bytes));
          try {
            const changed = await refresh(fetcher, new MemoryStateStore(), NOW, { initialRoot });
            // What is not signed may change: white space, the case of a signature. What is said may not.
            expect((await changed.findTarget('v1')).target.json).toEqual(signed);
            expect(changed.trusted.root.file.message).toEqual(repository.roots.at(-1)?.message);
            expect(changed.trusted.timestamp.file.message).toEqual(repository.timestamp?.message);
          } catch (error) {
            if (!isBullaError(error, 'content-invalid', 'trust-invalid')) throw error;
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is refused where the byte is inside signed content', async () => {
    const repository = await simpleRepository({ v1: 'one' });
    const files = writeRepositoryFiles(repository);
    const initialRoot = repository.roots[0]!.bytes;
    for (const [file, original] of files) {
      if (file === '1.root.json') continue;
      const start = Buffer.from(original).indexOf('"signed":') + 9;
      for (let at = start; at < original.byteLength - 1; at += 11) {
        const bytes = Uint8Array.from(original);
        bytes[at]! ^= 1;
        const fetcher = new MemoryFetcher(new Map(files).set(file, bytes));
        const attempt = refresh(fetcher, new MemoryStateStore(), NOW, { initialRoot }).then((client) =>
          client.findTarget('v1'),
        );
        await expect(attempt, `${file} at ${at}`).rejects.toThrow(/metadata of/);
      }
    }
  });
});
