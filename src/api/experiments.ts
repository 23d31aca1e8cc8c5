import { useMlDsa } from '../crypto/ml-dsa-keys.ts';
import { BullaError } from '../errors.ts';

/** Experiments of this version. They may change, or end, in any other. */
export type Experiment = 'ml-dsa';

/**
 * Begins an experiment in this process, as `BULLA_EXPERIMENTAL` does for the command (spec/configuration.md). With
 * `ml-dsa`, keys of ML-DSA are read, and count and sign for roles of trust collections.
 * @throws BullaError usage for one that is not known
 */
export async function beginExperiment(name: Experiment): Promise<void> {
  if (name !== 'ml-dsa')
    throw new BullaError('usage', `${JSON.stringify(name)} is not an experiment of this version`, {
      hint: 'ml-dsa is',
    });
  const { NOBLE_ML_DSA } = await import('../crypto/ml-dsa.ts');
  useMlDsa(NOBLE_ML_DSA);
}
