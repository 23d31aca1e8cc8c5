import { BullaError } from '../errors.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
/** A name with such an ending would be taken for a file, and a file for a name. */
const FILE_ENDING = /\.(?:key|pub|crt|cer|pem|csr|der)$/i;

/** Whether `text` may be the name of a key in the store: one that can't be mistaken for a path. */
export function isKeyName(text: string): boolean {
  return NAME.test(text) && !FILE_ENDING.test(text) && !text.endsWith('.') && !text.includes('..');
}

/** @throws BullaError usage */
export function checkKeyName(text: string): string {
  if (isKeyName(text)) return text;
  throw new BullaError('usage', `${JSON.stringify(text)} is not a name for a key`, {
    hint: 'use up to 64 letters, digits and . _ @ - , beginning with a letter or digit and without an ending such as .key or .pem',
  });
}
