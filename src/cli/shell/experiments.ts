import { NOBLE_ML_DSA } from '../../crypto/ml-dsa.ts';
import { useMlDsa } from '../../crypto/ml-dsa-keys.ts';
import { BullaError } from '../../errors.ts';

/** Begins what `BULLA_EXPERIMENTAL` names, separated by commas. @throws BullaError usage for what is not known */
export function begin(text: string): void {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => name !== 'ml-dsa' && name !== '');
  if (unknown !== undefined)
    throw new BullaError('usage', `BULLA_EXPERIMENTAL names ${JSON.stringify(unknown)}, which is not known`, {
      hint: 'ml-dsa is: keys of ML-DSA for roles of trust collections',
    });
  useMlDsa(names.includes('ml-dsa') ? NOBLE_ML_DSA : undefined);
}
