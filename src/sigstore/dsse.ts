import { concatBytes, utf8 } from '../encoding/bytes.ts';

/**
 * DSSE's pre-authentication encoding (DSSE protocol v1, "PAE"): lengths in bytes, so that type and
 * payload can't be cut apart in another place.
 */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8(payloadType);
  return concatBytes([utf8(`DSSEv1 ${type.byteLength} `), type, utf8(` ${payload.byteLength} `), payload]);
}
