import { BullaError } from '../errors.ts';

/** A signature that is broken: no honest tool wrote it so. */
export function malformed(where: string, why: string, cause?: unknown): BullaError {
  return new BullaError('content-invalid', `${where} is not a valid signature: ${why}`, {
    cause,
    hint: 'it was damaged, or made to deceive; it is not counted. `bulla signature rm` removes it',
  });
}

/** A signature of a kind that cannot be judged here. It is named, and never counted. */
export function unsupported(where: string, why: string, hint: string): BullaError {
  return new BullaError('unsupported-signature', `${where} cannot be judged: ${why}`, { hint });
}
