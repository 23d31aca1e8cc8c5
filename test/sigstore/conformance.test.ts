import { describe, expect, it } from 'vitest';
import { BUNDLES, foldersIn, outcomeOf } from '../support/sigstore/conformance.ts';

const FOLDERS = foldersIn(BUNDLES);

describe('bundles of sigstore-conformance', () => {
  it('are all there', () => {
    expect(FOLDERS).toHaveLength(70);
  });

  it.each(FOLDERS)('%s', (folder) => {
    const byPath = outcomeOf(BUNDLES, folder, 'path');
    expect(byPath === undefined, byPath).toBe(!folder.endsWith('_fail'));
    expect(outcomeOf(BUNDLES, folder, 'digest')).toBe(byPath);
  });
});
