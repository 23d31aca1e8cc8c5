import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../support/cli.ts';
import { ground, PASSPHRASE, signedOf, writeDockerKeys } from '../support/notary/importing.ts';
import { TUF_READERS } from './tuf-readers.ts';

const NEVER = '2099-01-01T00:00:00Z';
/** The peers judge by their own clocks. */
const NOW = new Date();

describe.each(TUF_READERS)('%s', (_, isThere, read) => {
  it.runIf(isThere)(
    'reads an imported collection with bins, starters and a signer of its own key',
    { timeout: 120_000 },
    async () => {
      const place = await ground({ keys: false });
      const { repository, name, one, two, alice, run } = place;
      const names = Array.from({ length: 1100 }, (_unused, at) => `n${at}`);
      repository.targets.targets = Object.fromEntries(names.map((tag) => [tag, signedOf(one)]));
      place.serve({ version: 2, expires: NEVER, timestampExpires: NEVER, rootExpires: NEVER });
      await writeDockerKeys(join(place.home, 'docker'), name, [
        [repository.root[0]!, 'root'],
        [repository.targets.keys[0]!, 'targets'],
        [alice, 'alice'],
      ]);
      const before = place.registry.log.length;
      const argv = [
        'import',
        'notary',
        name,
        '--server',
        place.notary.url,
        ...place.rootKey,
        '--keys',
        'docker',
      ];
      const variables = {
        DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE: PASSPHRASE,
        DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE: PASSPHRASE,
      };
      const imported = await run(argv, variables, NOW);
      expect(imported, imported.stderr).toMatchObject({ code: 0 });
      const images = new Set([one, two].map(({ descriptor }) => descriptor.digest as string));
      const asked = place.registry.log
        .slice(before)
        .filter(({ path }) => images.has(path.split('/').at(-1) ?? ''));
      expect(asked).toHaveLength(images.size);
      expect(await run(['verify', `${name}:v2`, '--signer', 'alice'], {}, NOW)).toMatchObject({ code: 0 });
      const directory = join(await temporaryDirectory(), 'tuf');
      expect(await run(['export', 'tuf', name, directory, '--targets'], {}, NOW)).toMatchObject({ code: 0 });
      const hex = ({ descriptor }: typeof one): string => descriptor.digest.slice('sha256:'.length);
      expect(await read(directory, ['n0', 'n1099', 'v2'])).toEqual({
        n0: hex(one),
        n1099: hex(one),
        v2: hex(two),
      });
    },
  );
});
