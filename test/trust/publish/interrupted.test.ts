import { describe, expect, it } from 'vitest';
import { BullaError } from '../../../src/errors.ts';
import { publishNames } from '../../../src/trust/publish/publish.ts';
import { newCollection, pushHead } from '../../support/trust/collection.ts';
import { naming, publisher } from '../../support/trust/publishing.ts';
import { WeakStore } from '../../support/trust/weak-store.ts';

/** A store in which the command is ended as soon as a tag of a kind was written, or is about to be. */
async function endingAt(
  prefix: string,
  isWritten: boolean,
): Promise<{ store: WeakStore; ending: AbortController }> {
  const store = new WeakStore();
  await pushHead(store, await newCollection());
  const ending = new AbortController();
  const push = store.pushManifest.bind(store);
  store.pushManifest = async (content, options) => {
    const isMeant = options?.tag?.startsWith(prefix) === true;
    if (!isMeant || isWritten) await push(content, options);
    if (!isMeant) return;
    ending.abort();
    if (!isWritten) throw new BullaError('interrupted', 'ended', { hint: 'again' });
  };
  return { store, ending };
}

describe('a publish that is interrupted', () => {
  it.each([
    ['when its head was announced', '_trust.next.', true],
    ['while its head is announced', '_trust.next.', false],
  ])('says what it leaves behind: %s', async (_, prefix, isWritten) => {
    const { store, ending } = await endingAt(prefix, isWritten);
    const { read, options } = publisher();
    const publishing = publishNames(store, read, naming({ v1: 'one' }), {
      ...options,
      signal: ending.signal,
    });
    await expect(publishing).rejects.toMatchObject(
      isWritten
        ? {
            code: 'interrupted',
            message: expect.stringContaining(prefix),
            details: { tag: expect.stringContaining(prefix), ids: [expect.any(String)] },
          }
        : { code: 'interrupted' },
    );
  });

  it('says nothing of the kind where nothing was written', async () => {
    const { store } = await endingAt('none', true);
    const { read, options } = publisher();
    const signal = AbortSignal.abort();
    const publishing = publishNames(store, read, naming({ v1: 'one' }), { ...options, signal });
    const error = await publishing.catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code: 'interrupted', details: {} });
    expect((error as BullaError).message).not.toContain('stays');
  });
});
