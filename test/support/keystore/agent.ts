import { type KeyObject, sign as nodeSign } from 'node:crypto';
import { createServer } from 'node:net';
import { onTestFinished } from 'vitest';

/** A key of an agent: what it is called there, and what signs. */
export interface AgentKey {
  readonly key: KeyObject;
  readonly comment: string;
  /** Another type than the key's own, for keys that sign otherwise. */
  readonly type?: string;
}

const NAMES: Readonly<Record<string, string>> = {
  'P-256': 'nistp256',
  'P-384': 'nistp384',
  'P-521': 'nistp521',
};

/** An SSH agent at a path, until the test is over. `state` is looked at for each request. */
export async function serveAgent(
  path: string,
  keys: readonly AgentKey[],
  state: { isLocked?: boolean; answer?: Buffer } = {},
): Promise<void> {
  const server = createServer((socket) => {
    let held = Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('data', (piece) => {
      held = Buffer.concat([held, piece]);
      while (held.length >= 4 && held.length >= 4 + held.readUInt32BE(0)) {
        const frame = held.subarray(4, 4 + held.readUInt32BE(0));
        held = held.subarray(4 + frame.length);
        socket.write(state.answer ?? text(answered(frame, state.isLocked === true ? [] : keys)));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => void server.close());
}

function answered(frame: Buffer, keys: readonly AgentKey[]): Buffer {
  if (frame[0] === 11) {
    const listed = keys.flatMap((one) => [text(blobOf(one)), text(one.comment)]);
    return Buffer.concat([Buffer.of(12), number(keys.length), ...listed]);
  }
  const blob = frame.subarray(5, 5 + frame.readUInt32BE(1));
  const rest = frame.subarray(5 + blob.length);
  const message = rest.subarray(4, 4 + rest.readUInt32BE(0));
  const flags = rest.readUInt32BE(4 + message.length);
  const found = keys.find((one) => blobOf(one).equals(blob));
  if (frame[0] !== 13 || found === undefined) return Buffer.of(5);
  return Buffer.concat([Buffer.of(14), text(signatureOf(found.key, message, flags))]);
}

function signatureOf(key: KeyObject, message: Buffer, flags: number): Buffer {
  if (key.asymmetricKeyType === 'ed25519')
    return Buffer.concat([text('ssh-ed25519'), text(nodeSign(null, message, key))]);
  if (key.asymmetricKeyType === 'rsa') {
    const hash = flags === 4 ? '512' : '256';
    return Buffer.concat([text(`rsa-sha2-${hash}`), text(nodeSign(`sha${hash}`, message, key))]);
  }
  const { crv = '' } = key.export({ format: 'jwk' });
  const hash = { 'P-256': 'sha256', 'P-384': 'sha384', 'P-521': 'sha512' }[crv] as string;
  const raw = nodeSign(hash, message, { key, dsaEncoding: 'ieee-p1363' });
  const halves = [raw.subarray(0, raw.length / 2), raw.subarray(raw.length / 2)].map(mpint);
  return Buffer.concat([text(`ecdsa-sha2-${NAMES[crv]}`), text(Buffer.concat(halves))]);
}

function blobOf({ key, type }: AgentKey): Buffer {
  const jwk = key.export({ format: 'jwk' });
  const part = (name: 'x' | 'y' | 'n' | 'e'): Buffer => Buffer.from(jwk[name] ?? '', 'base64url');
  if (jwk.kty === 'OKP') return Buffer.concat([text(type ?? 'ssh-ed25519'), text(part('x'))]);
  if (jwk.kty === 'RSA') return Buffer.concat([text(type ?? 'ssh-rsa'), mpint(part('e')), mpint(part('n'))]);
  const curve = NAMES[jwk.crv ?? ''] ?? '';
  const point = Buffer.concat([Buffer.of(4), part('x'), part('y')]);
  return Buffer.concat([text(type ?? `ecdsa-sha2-${curve}`), text(curve), text(point)]);
}

function mpint(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const magnitude = bytes.subarray(start);
  return text((magnitude[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), magnitude]) : magnitude);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function text(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([number(bytes.length), bytes]);
}
