import { describe, expect, it } from 'vitest';
import { NAMES_ROLE } from '../../src/trust/format/vocabulary.ts';
import { pushImage } from '../support/content.ts';
import { storePlainKeys } from '../support/plain-keys.ts';
import { changeHead, setting } from '../support/trust/changing.ts';
import { servedCollection } from '../support/trust/served.ts';
import { daysLater, NOW } from '../support/tuf/editing.ts';

/** A collection that names an image, and another image that it does not name. */
async function named(names: readonly string[]) {
  const { name, run, target, home } = await servedCollection();
  const { descriptor: image } = await pushImage(target, 'signed');
  const { descriptor: other } = await pushImage(target, 'other');
  const content = { sha256: image.digest.slice(7), length: image.size };
  await changeHead(target, (edit) =>
    edit.apply(NAMES_ROLE, [
      {
        ...setting(['elsewhere'], NOW),
        set: new Map([
          ...names.map((one) => [one, content] as const),
          ...(setting(['elsewhere'], NOW).set ?? []),
        ]),
      },
    ]),
  );
  return {
    run,
    home,
    target,
    name,
    text: `${name}@${image.digest}`,
    digest: image.digest,
    other: `${name}@${other.digest}`,
  };
}

describe('verify of a digest where there is a collection', () => {
  it('answers by the names that mean it', async () => {
    const { run, text, digest } = await named(['v1', 'latest']);
    const { code, stdout, stderr } = await run(['verify', text, '--tofu']);
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(`${text}\n`);
    expect(stderr).toContain('latest is signed by names');
    expect(stderr).toContain('the digest is signed as latest, v1');
    const json = (await run(['verify', text, '-o', 'json'])).json();
    expect(json).toMatchObject({
      digest,
      tag: null,
      signed: 'name',
      name: { names: ['latest', 'v1'], signers: ['names'] },
    });
  });

  it('does so without a flag where the collection was seen before, and of many references', async () => {
    const { run, text, name } = await named(['v1']);
    expect((await run(['verify', `${name}:v1`, '--tofu', '--no-drift'])).code).toBe(0);
    expect((await run(['verify', text])).code).toBe(0);
    const many = await run(['verify', text, `${name}:v1`, '--no-drift']);
    expect(many.code, many.stderr).toBe(0);
    expect(many.stdout).toBe(`${text}\n${text}\n`);
  });

  it('refuses a digest that no name means, and says so', async () => {
    const { run, other } = await named(['v1']);
    const { code, stderr } = await run(['verify', other, '--tofu']);
    expect(code).toBe(23);
    expect(stderr).toContain('no name in the collection');
    expect((await run(['verify', other, '--tofu'])).code).toBe(23);
  });

  it('refuses where the metadata has expired, or a signer is demanded that has not signed', async () => {
    const { run, text } = await named(['v1']);
    expect((await run(['verify', text, '--tofu', '--signer', 'alice'])).code).not.toBe(0);
    expect((await run(['verify', text, '--tofu', '--signer', 'names'])).code).toBe(0);
    expect((await run(['verify', text], { now: daysLater(30) })).code).toBe(20);
  });

  it('says what to do where nothing is trusted', async () => {
    const { run, text } = await named(['v1']);
    const { code, stderr } = await run(['verify', text]);
    expect(code).toBe(25);
    expect(stderr).toMatch(/--key|pin/);
  });

  it('still goes by detached signatures where those are demanded, or where no name means the digest', async () => {
    const { run, home, text, name, other } = await named(['v1']);
    await storePlainKeys(home, 'release');
    const now = { now: new Date() };
    expect((await run(['sign', other, '--key', 'release', '--no-name'], now)).code).toBe(0);
    expect((await run(['verify', other, '--key', 'release'], now)).code).toBe(0);
    expect((await run(['verify', text, '--key', 'release'], now)).code).toBe(10);
    await run(['ls', name, '--tofu']);
    // The collection is known now, and the default key is that of the signature.
    expect((await run(['verify', other])).code).toBe(0);
    expect((await run(['verify', text])).code).toBe(0);
    expect((await run(['verify', text, '--no-name'])).code).toBe(10);
  });
});
