import { createPublicKey, X509Certificate } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { derChildren, readDer } from '../../../src/crypto/der.ts';
import { fromBase64, hex } from '../../../src/encoding/bytes.ts';
import { listen } from '../listen.ts';
import { type Making, SigstoreInstance } from './instance.ts';
import { timeStampResponse } from './time-stamp-response.ts';

/** What a service answers instead, once; `hang` never does. */
export type Fault =
  | { readonly status: number; readonly body?: string; readonly headers?: Record<string, string> }
  | 'hang'
  | 'cut';

/** One request that the services were sent. */
export interface Asked {
  readonly path: string;
  readonly body: Buffer;
  readonly headers: IncomingMessage['headers'];
}

/** A {@link SigstoreInstance} behind HTTP: Fulcio, Rekor v1 and v2, a time-stamp authority, GitHub's token issuer. */
export class SigstoreServer {
  readonly instance: SigstoreInstance = new SigstoreInstance();
  readonly asked: Asked[] = [];
  /** By the beginning of the path. */
  readonly faults: Map<string, Fault> = new Map();
  /** How certificates are issued. */
  making: Partial<Making>;
  /** What Rekor v1 was last sent, whether or not it took it. */
  #logged: Buffer = Buffer.alloc(0);
  url = '';
  stop: () => Promise<void> = async () => undefined;
  /** Changes an answer before it is sent. */
  alter: (path: string, body: Uint8Array) => Uint8Array = (_, body) => body;

  private constructor(now: Date) {
    this.making = { now };
  }

  static async start(now: Date): Promise<SigstoreServer> {
    const made = new SigstoreServer(now);
    const server = createServer((request, response) => void made.#serve(request, response));
    const { host, stop } = await listen(server);
    made.url = `http://${host}`;
    made.stop = stop;
    return made;
  }

  /** `signing_config.json` with these services. */
  signingConfig(
    rekor: 1 | 2 = 2,
    change: (config: Record<string, unknown>) => void = () => undefined,
  ): Buffer {
    const service = (path: string, majorApiVersion = 1): unknown[] => [
      {
        url: `${this.url}${path}`,
        majorApiVersion,
        operator: 'test',
        validFor: { start: '2026-01-01T00:00:00Z' },
      },
    ];
    const config = {
      mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
      caUrls: service('/fulcio'),
      rekorTlogUrls: service(`/rekor${rekor}`, rekor),
      rekorTlogConfig: { selector: 'ANY' },
      tsaUrls: service('/tsa'),
      tsaConfig: { selector: 'ANY' },
    };
    change(config);
    return Buffer.from(JSON.stringify(config));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces);
    const path = request.url ?? '';
    this.asked.push({ path, body, headers: request.headers });
    const [, fault] = [...this.faults].find(([begin]) => path.startsWith(begin)) ?? [];
    if (path === '/rekor1/api/v1/log/entries') this.#logged = body;
    if (fault !== undefined && !(request.method === 'GET' && isConflict(fault))) {
      if (fault === 'hang') return;
      if (fault === 'cut') return void request.socket.destroy();
      response.writeHead(fault.status, fault.headers ?? {});
      response.end(fault.body ?? '');
      return;
    }
    const answer = this.#answer(path, body);
    response.writeHead(answer === undefined ? 404 : path.startsWith('/github') ? 200 : 201);
    response.end(answer === undefined ? '' : this.alter(path, answer));
  }

  #answer(path: string, body: Buffer): Uint8Array | undefined {
    if (path === '/fulcio/api/v2/signingCert') return json(this.#certify(JSON.parse(String(body))));
    if (path === '/rekor1/api/v1/log/entries') return json(this.#log1(JSON.parse(String(body))));
    if (path === '/rekor2/api/v2/log/entries') return json(this.#log2(JSON.parse(String(body))));
    if (path === '/rekor1/api/v1/log/entries/108e') return json(this.#log1(JSON.parse(String(this.#logged))));
    if (path === '/tsa') return this.#stamp(body);
    if (path.startsWith('/github')) return json({ count: 1, value: token({ via: 'github' }) });
    return undefined;
  }

  #certify({ certificateSigningRequest }: { certificateSigningRequest: string }): unknown {
    const pem = Buffer.from(certificateSigningRequest, 'base64').toString();
    const request = readDer(fromBase64(pem.replace(/-----[A-Z ]+-----|\n/g, '')) ?? new Uint8Array());
    const [info] = derChildren(request);
    const spki = info === undefined ? undefined : derChildren(info)[2]?.raw;
    const key = createPublicKey({ key: Buffer.from(spki ?? []), format: 'der', type: 'spki' });
    const chain = [this.instance.issue(key, this.making), this.instance.intermediateCertificate];
    const certificates = chain.map((der) => new X509Certificate(der).toString());
    return { signedCertificateEmbeddedSct: { chain: { certificates } } };
  }

  #log1(request: { spec: { proposedContent: { envelope: string; verifiers: [string] } } }): unknown {
    const { envelope, verifiers } = request.spec.proposedContent;
    const { payload, signatures } = JSON.parse(envelope) as {
      payload: string;
      signatures: [{ sig: string }];
    };
    const pem = Buffer.from(verifiers[0], 'base64').toString();
    const now = this.making.seen ?? this.making.now ?? new Date(0);
    const entry = this.instance.entry1(pem, bytesOf(payload), bytesOf(signatures[0].sig), now);
    const { inclusionProof: proof } = entry;
    return {
      '108e9186e8c5677a': {
        body: entry.canonicalizedBody,
        integratedTime: Number(entry.integratedTime),
        logID: hex(bytesOf(entry.logId.keyId)),
        logIndex: Number(entry.logIndex),
        verification: {
          signedEntryTimestamp: entry.inclusionPromise?.signedEntryTimestamp,
          inclusionProof: {
            checkpoint: proof.checkpoint.envelope,
            hashes: proof.hashes.map((hash) => hex(bytesOf(hash))),
            logIndex: Number(proof.logIndex),
            rootHash: hex(bytesOf(proof.rootHash)),
            treeSize: Number(proof.treeSize),
          },
        },
      },
    };
  }

  #log2(request: {
    hashedRekordRequestV002: { digest: string; signature: { content: string; verifier: unknown } };
  }): unknown {
    const { digest, signature } = request.hashedRekordRequestV002;
    return this.instance.entry2(signature.verifier, bytesOf(digest), bytesOf(signature.content));
  }

  #stamp(body: Buffer): Uint8Array {
    const [, imprint] = derChildren(readDer(body));
    const sha256 = (imprint && derChildren(imprint)[1]?.content) ?? new Uint8Array();
    const { tsa, tsaCertificate } = this.instance;
    return timeStampResponse(
      { sha256 },
      this.making.seen ?? this.making.now ?? new Date(0),
      tsa.privateKey,
      tsaCertificate,
    );
  }
}

/** What is there already can be read. */
function isConflict(fault: Fault): boolean {
  return typeof fault === 'object' && fault.status === 409;
}

/** An identity token: Fulcio would check it, and this one does not. */
export function token(claims: Readonly<Record<string, unknown>> = {}): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part({ aud: 'sigstore', exp: 4_000_000_000, ...claims })}.${part('a secret signature')}`;
}

function bytesOf(text: string): Uint8Array {
  return fromBase64(text) ?? new Uint8Array();
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
