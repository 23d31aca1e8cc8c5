import { composeMetadataFile, parseMetadataFile } from '../../../src/tuf/metadata-file.ts';

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The same file with each of its P-256 signatures in its other spelling (n − s), which verifies as well. */
export function malleated(bytes: Uint8Array, role: string): Uint8Array {
  const { signed, signatures } = parseMetadataFile(bytes, role, 1 << 20);
  const others = signatures.map(({ keyid, sig }) => ({ keyid, sig: otherSpelling(Buffer.from(sig, 'hex')) }));
  return composeMetadataFile(role, signed, others).bytes;
}

function otherSpelling(der: Buffer): string {
  const rLength = der[3] as number;
  const r = der.subarray(2, 4 + rLength).toString('hex');
  const s = BigInt(`0x${der.subarray(6 + rLength).toString('hex')}`);
  let other = (ORDER - s).toString(16);
  if (other.length % 2 === 1) other = `0${other}`;
  if (/^[89a-f]/.test(other)) other = `00${other}`;
  const body = `${r}02${(other.length / 2).toString(16).padStart(2, '0')}${other}`;
  return `30${(body.length / 2).toString(16).padStart(2, '0')}${body}`;
}
