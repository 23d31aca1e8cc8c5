import type { Certificate } from '../crypto/certificate.ts';
import { checkSigningChain, checkValidAt } from '../crypto/certificate-profile.ts';
import { checkChainOrder } from '../crypto/chain.ts';
import { verifySignature } from '../crypto/signature.ts';
import type { Signer } from '../crypto/signer.ts';
import { equalBytes } from '../encoding/bytes.ts';
import { formatTime } from '../encoding/time.ts';
import { BullaError } from '../errors.ts';
import type { CallOptions } from '../oci/target.ts';
import type { Envelope } from './envelope.ts';
import { MAX_NOTATION_BYTES, SIGNATURE_TYPES } from './formats.ts';
import { readNotationCose } from './notation-cose.ts';
import { readNotationJws } from './notation-jws.ts';
import { buildNotationPayload, type NotationParts } from './notation-payload.ts';

/** By how much the clock of a plug-in, or of its service, may differ, in milliseconds. */
const CLOCK_MS = 300_000;

/**
 * Has a key that makes whole envelopes sign an image, and verifies all that comes back before it is used: the payload
 * byte for byte, the headers as a reader does, the certificates, the signature, the times.
 * @param chain the certificates that the key is known to have
 * @returns undefined where the key signs what it is given
 * @throws BullaError key-invalid where it is not what was asked for; what the signer, the reader and the checks of
 *   certificates throw
 */
export async function askForEnvelope(
  parts: NotationParts,
  signer: Signer,
  chain: readonly Certificate[],
  kind: 'notation-jws' | 'notation-cose',
  options: CallOptions,
): Promise<Uint8Array | undefined> {
  const payload = buildNotationPayload(parts);
  const { expiry, signingTime } = parts;
  const lifetime = expiry && Math.floor((expiry.getTime() - signingTime.getTime()) / 1000);
  const isCose = kind === 'notation-cose';
  const bytes = await signer.signEnvelope?.(
    {
      type: isCose ? SIGNATURE_TYPES.cose : SIGNATURE_TYPES.jws,
      payloadType: SIGNATURE_TYPES.notationPayload,
      ...{ payload, lifetime },
    },
    options,
  );
  if (bytes === undefined) return undefined;
  if (bytes.byteLength > MAX_NOTATION_BYTES) throw notAsked(`it has more than ${MAX_NOTATION_BYTES} bytes`);
  const envelope = (isCose ? readNotationCose : readNotationJws)(bytes, 'the envelope of the plug-in');
  if (!equalBytes(envelope.payload ?? new Uint8Array(), payload))
    throw notAsked('its payload is another one than was to be signed');
  const isKnown = (at: number): boolean => envelope.certificates[at]?.thumbprint === chain[at]?.thumbprint;
  if (envelope.certificates.length !== chain.length || !chain.every((_, at) => isKnown(at)))
    throw notAsked('its certificates are other ones than the key is known to have');
  checkSigner(envelope, signer, parts.signingTime);
  checkTimes(envelope, parts);
  return bytes;
}

function checkSigner(envelope: Envelope, signer: Signer, now: Date): void {
  const { certificates, message, signature, namedAlgorithm } = envelope;
  checkChainOrder(certificates, signer.publicKey, 'the envelope of the plug-in');
  checkSigningChain(certificates);
  checkValidAt(certificates, now);
  const [chosen] = envelope.algorithmsOf(signer.publicKey);
  if (chosen === undefined || chosen.id !== namedAlgorithm)
    throw notAsked(`it is signed with ${namedAlgorithm ?? 'no known algorithm'}`);
  if (!verifySignature(signer.publicKey, chosen, message, signature, envelope.encoding))
    throw notAsked('its signature does not verify with its certificate');
}

function checkTimes(envelope: Envelope, { signingTime, expiry }: NotationParts): void {
  const claims = envelope.claims();
  const isNear = (a: Date | undefined, b: Date | undefined): boolean =>
    a === undefined || b === undefined ? a === b : Math.abs(a.getTime() - b.getTime()) <= CLOCK_MS;
  if (!isNear(claims.signingTime, signingTime))
    throw notAsked(`it says that it was made at ${timeText(claims.signingTime)}`);
  if (!isNear(claims.expiry, expiry))
    throw notAsked(`it expires ${timeText(claims.expiry)}, and ${timeText(expiry)} was asked for`);
}

function timeText(time: Date | undefined): string {
  return time === undefined ? 'never' : formatTime(time);
}

function notAsked(why: string): BullaError {
  return new BullaError(
    'key-invalid',
    `the envelope that the plug-in made is not what was asked for: ${why}`,
    {
      hint: 'nothing was stored; if its certificate was renewed, import the key again with --force; else update the plug-in',
    },
  );
}
