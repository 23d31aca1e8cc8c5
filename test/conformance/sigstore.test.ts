import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { BUNDLES, foldersIn, outcomeOf } from '../support/sigstore/conformance.ts';

/**
 * sigstore-conformance without its harness, which asks the network for a token before each test: its folders of bundles,
 * each by the artifact's path and by its digest. With SIGSTORE_CONFORMANCE=DIR, those of a checkout instead of our copy.
 */
const checkout = process.env['SIGSTORE_CONFORMANCE'];
const bundles =
  checkout === undefined ? BUNDLES : new URL('test/assets/bundle-verify/', pathToFileURL(`${checkout}/`));
const FOLDERS = foldersIn(bundles);

describe('sigstore-conformance', () => {
  it('has its bundles here', () => {
    expect(FOLDERS.length).toBeGreaterThanOrEqual(70);
    expect(FOLDERS.filter((folder) => folder.endsWith('_fail')).length).toBeGreaterThan(20);
  });

  describe.each(['path', 'digest'] as const)('by %s', (given) => {
    it.each(FOLDERS)('%s', (folder) => {
      const code = outcomeOf(bundles, folder, given);
      expect(code === undefined, code).toBe(!folder.endsWith('_fail'));
    });
  });
});
