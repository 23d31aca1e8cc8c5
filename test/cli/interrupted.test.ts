import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Target } from '../../src/oci/target.ts';
import { type CliOptions, type CliResult, bulla as run, temporaryDirectory } from '../support/cli.ts';
import { pushImage } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { registryFor, repositoryOf } from '../support/registry/open.ts';

let home: string;
let repository: string;
let target: Target;

/** A repository with a signed name, and a publisher whose online key is elsewhere. */
beforeEach(async () => {
  home = await temporaryDirectory();
  await storePlainKeys(home, 'publisher', 'root', 'online');
  const registry = await registryFor();
  repository = `${registry.host}/team/app`;
  target = repositoryOf(registry);
  for (const tag of ['v1', 'v2']) await pushImage(target, tag, tag);
  for (const line of [
    'init REPO',
    'sign REPO:v1',
    'copy REPO:v1 oci:here',
    'pull REPO:v1 oci-archive:there.tar:v1',
  ]) {
    const result = await bulla(line);
    expect(result, `${line}: ${result.stderr}`).toMatchObject({ code: 0 });
  }
  await rm(join(home, 'keys/online.key'));
});

const bulla = (line: string, options: CliOptions = {}): Promise<CliResult> =>
  run(line.replaceAll('REPO', repository).split(' '), {
    cwd: home,
    env: { BULLA_HOME: home, BULLA_PASSPHRASE: 'x' },
    ...options,
  });

describe('a command that is ended while a stage waits', () => {
  it.each([
    'sign REPO:v2',
    'sign REPO:v1 REPO:v2 --name-only',
    'push oci-archive:there.tar:v1 REPO:v3 --sign',
    'copy oci:here REPO:v4 --as --key publisher',
    'revoke REPO:v1',
    'signer add REPO alice --key publisher',
  ])('says that the stage is left, and where: %s', async (line) => {
    const ending = new AbortController();
    const result = await bulla(`${line} --wait 60s`, {
      signal: ending.signal,
      onStderr: (text) => {
        if (/waiting for/.test(text)) ending.abort();
      },
    });
    expect(result.code, result.stderr).toBe(130);
    const [tag] =
      /_trust\.stage\.[0-9a-f]{16}/.exec(result.stderr.slice(result.stderr.indexOf('interrupted'))) ?? [];
    expect(await target.listTags(), result.stderr).toContain(tag);
    expect(result.stderr).toContain(`bulla status ${repository}`);
    expect(result.stderr).not.toContain('nothing is left half done');
  });

  it('says so where --timeout ends it, too', async () => {
    const result = await bulla('sign REPO:v2 --name-only --wait 60s --timeout 3s -o json');
    expect(result.json()).toMatchObject({
      code: 'timeout',
      details: { tag: expect.stringMatching(/^_trust\.stage\./), ids: [expect.any(String)] },
    });
  });
});
