import { type Certificate, subjectOf } from '../crypto/certificate.ts';
import {
  type DatedStatus,
  type DistributionPoint,
  type StatusFinding,
  type StatusPort,
  type StatusSources,
  statusSources,
} from '../crypto/certificate-status.ts';
import { readRevocationList, statusInList } from '../crypto/crl.ts';
import { type OcspAnswer, ocspRequest, readOcspResponse } from '../crypto/ocsp.ts';
import { BullaError, isBullaError, throwIfAborted } from '../errors.ts';
import { within } from '../http/deadline.ts';
import type { HttpPool } from '../http/pool.ts';
import type { Timing } from '../http/retry.ts';
import { type KeptAnswers, MAX_CRL_BYTES, MAX_OCSP_BYTES } from './answers.ts';
import { askForStatus, type Question, type StatusService } from './ask.ts';

/** How long asking about one certificate may take in all, one responder, and one list, in milliseconds. */
export const STATUS_TIMEOUT_MS: number = 60_000;
const OCSP_TIMEOUT_MS = 10_000;
const CRL_TIMEOUT_MS = 30_000;
/** Most responders, and most lists, that are tried for one certificate. */
const MAX_SOURCES = 4;

/** What authorities are asked with. */
export interface StatusClientOptions {
  /** Opens connections when something is asked; left out where nothing may be: then kept answers alone count. */
  readonly pool?: (() => Promise<HttpPool>) | undefined;
  readonly kept: KeptAnswers;
  readonly now: () => Date;
  readonly timing?: Timing | undefined;
  readonly timeoutMs?: number | undefined;
  /** How long one responder may take, in milliseconds. */
  readonly ocspTimeoutMs?: number | undefined;
}

/** How long a failure is remembered, in milliseconds: for the images of one run, and not for the next hour. */
const FAILURE_MS = 60_000;
/** Most findings that are remembered; further ones take the place of the oldest. */
const MAX_KNOWN = 10_000;

/**
 * Asks authorities about their certificates: OCSP first, and where that gives no answer, the CRL
 * (spec/signatures.md, "Revocation"). What was found is remembered as long as it counts, by services that run for long.
 */
export function statusClient(options: StatusClientOptions): StatusPort {
  const known = new Map<string, { readonly asked: Promise<StatusFinding>; until: number }>();
  const remembered = (key: string): Promise<StatusFinding> | undefined => {
    const entry = known.get(key);
    return entry !== undefined && options.now().getTime() < entry.until ? entry.asked : undefined;
  };
  const remember = (key: string, asked: Promise<StatusFinding>): Promise<StatusFinding> => {
    const entry = { asked, until: Number.POSITIVE_INFINITY };
    known.delete(key);
    known.set(key, entry);
    const [oldest] = known.keys();
    if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
    asked.then(
      ({ outcome: { kind }, until }) => {
        const isFailure = kind === 'unavailable' || kind === 'unknown';
        if (until !== undefined) entry.until = until.getTime();
        else if (isFailure) entry.until = options.now().getTime() + FAILURE_MS;
      },
      // An interruption is not an answer.
      () => known.delete(key),
    );
    return asked;
  };
  return {
    async statusOf(chain, privateHosts, signal) {
      const findings = chain.slice(0, -1).map((certificate, index) => {
        const issuer = chain[index + 1] as Certificate;
        const key = JSON.stringify([certificate.thumbprint, issuer.thumbprint, privateHosts]);
        const inquire = (): Promise<StatusFinding> =>
          remember(key, ask(options, privateHosts, signal, certificate, issuer));
        // One who asked first, and was interrupted, does not interrupt the others.
        return (remembered(key) ?? inquire()).catch((error: unknown) => {
          throwIfAborted(signal);
          if (isBullaError(error, 'interrupted', 'timeout')) return inquire();
          throw error;
        });
      });
      return await Promise.all(findings);
    },
  };
}

async function ask(
  options: StatusClientOptions,
  privateHosts: readonly string[],
  signal: AbortSignal | undefined,
  certificate: Certificate,
  issuer: Certificate,
): Promise<StatusFinding> {
  const what = `the revocation status of ${subjectOf(certificate)}`;
  const finding = await within(options.timeoutMs ?? STATUS_TIMEOUT_MS, what, signal, (until) =>
    new Inquiry(options, privateHosts, until).about(certificate, issuer),
  );
  throwIfAborted(signal);
  return finding;
}

/** Questions about one certificate. */
class Inquiry {
  private readonly options: StatusClientOptions;
  private readonly privateHosts: readonly string[];
  private readonly signal: AbortSignal;
  private readonly problems: BullaError[] = [];

  constructor(options: StatusClientOptions, privateHosts: readonly string[], signal: AbortSignal) {
    this.options = options;
    this.privateHosts = privateHosts;
    this.signal = signal;
  }

  async about(certificate: Certificate, issuer: Certificate): Promise<StatusFinding> {
    let sources: StatusSources;
    try {
      sources = statusSources(certificate, subjectOf(certificate));
    } catch (error) {
      return { certificate, outcome: { kind: 'unavailable', error: asBulla(error) } };
    }
    const { responders, lists } = sources;
    if (responders.length === 0 && lists.length === 0)
      return { certificate, outcome: { kind: 'not-revocable' } };
    const found =
      (await this.fromResponders(responders, certificate, issuer)) ??
      (await this.fromLists(lists, certificate, issuer));
    if (found !== undefined) return { certificate, ...found };
    if (this.problems.length === 0) return { certificate, outcome: { kind: 'not-asked' } };
    return { certificate, outcome: { kind: 'unavailable', error: this.failure(certificate) } };
  }

  /** The first responder that answers. */
  private async fromResponders(
    responders: readonly URL[],
    certificate: Certificate,
    issuer: Certificate,
  ): Promise<Omit<StatusFinding, 'certificate'> | undefined> {
    for (const url of responders.slice(0, MAX_SOURCES)) {
      const name = ['ocsp', issuer.thumbprint, certificate.serialNumber, url.href];
      const question: Question = {
        service: 'OCSP responder',
        url,
        body: ocspRequest(certificate, issuer),
        maxBytes: MAX_OCSP_BYTES,
        timeoutMs: this.options.ocspTimeoutMs ?? OCSP_TIMEOUT_MS,
      };
      const read = async (bytes: Uint8Array): Promise<OcspAnswer> => {
        const answer = readOcspResponse(bytes, certificate, issuer, this.options.now());
        await this.checkResponder(answer, issuer);
        return answer;
      };
      const answer = await this.answer(name, question, read);
      if (answer === undefined) continue;
      const { status } = answer;
      if (status.kind !== 'unknown') return { outcome: status, url, until: answer.until };
      this.problems.push(
        new BullaError(
          'certificate-invalid',
          `the OCSP responder ${url.host} does not know the certificate`,
          {
            hint: 'its authority may not have issued it: ask the authority',
            details: { service: 'OCSP responder' },
          },
        ),
      );
    }
    return undefined;
  }

  /** A responder with a certificate of its own, which does not say that it is never revoked. */
  private async checkResponder({ responder }: OcspAnswer, issuer: Certificate): Promise<void> {
    if (responder === undefined) return;
    const { responders, lists } = statusSources(responder, 'the certificate of the responder');
    // Without a place to ask, its authority does not mean to revoke it. OCSP about OCSP would have no end.
    if (responders.length === 0 && lists.length === 0) return;
    const found = await this.fromLists(lists, responder, issuer);
    if (found?.outcome.kind === 'good') return;
    throw new BullaError(
      'content-invalid',
      found?.outcome.kind === 'revoked'
        ? 'the certificate of the responder was revoked'
        : 'whether the certificate of the responder was revoked is not known',
      { hint: 'responders need certificates with the extension id-pkix-ocsp-nocheck' },
    );
  }

  /** A list of one of the points: each is about all reasons, so one is enough. */
  private async fromLists(
    lists: readonly DistributionPoint[],
    certificate: Certificate,
    issuer: Certificate,
  ): Promise<Omit<StatusFinding, 'certificate'> | undefined> {
    for (const { names, urls, unsupported } of lists.slice(0, MAX_SOURCES)) {
      if (unsupported !== undefined) {
        this.problems.push(unread('CRL', unsupported));
        continue;
      }
      for (const url of urls.slice(0, MAX_SOURCES)) {
        const read = async (bytes: Uint8Array): Promise<DatedStatus> =>
          statusInList(readRevocationList(bytes, issuer, this.options.now()), certificate, names);
        const question: Question = {
          service: 'CRL',
          url,
          maxBytes: MAX_CRL_BYTES,
          timeoutMs: CRL_TIMEOUT_MS,
        };
        const answer = await this.answer(['crl', issuer.thumbprint, url.href], question, read);
        if (answer !== undefined) return { outcome: answer.status, url, until: answer.until };
      }
    }
    return undefined;
  }

  /** What was kept and still counts, else what comes now; undefined where neither is there. */
  private async answer<T extends DatedStatus>(
    name: readonly string[],
    question: Question,
    read: (bytes: Uint8Array) => Promise<T>,
  ): Promise<T | undefined> {
    const { kept, pool, timing } = this.options;
    const bytes = kept.read(name, question.maxBytes);
    const remembered = bytes && (await read(bytes).catch(() => undefined));
    if (remembered !== undefined || pool === undefined) return remembered;
    try {
      const { signal, privateHosts } = this;
      const fresh = await askForStatus(question, { pool: await pool(), timing, signal, privateHosts });
      const answer = await read(fresh).catch((error: unknown) => {
        const { message } = asBulla(error);
        throw unread(question.service, `${question.url.host}: ${message}`, error);
      });
      // What a responder does not know, it may know soon.
      if (answer.status.kind !== 'unknown') await kept.keep(name, fresh);
      return answer;
    } catch (error) {
      this.problems.push(asBulla(error));
      return undefined;
    }
  }

  /** One error for all that was tried: the first says what is wrong. */
  private failure(certificate: Certificate): BullaError {
    const [first] = this.problems as [BullaError];
    const all = this.problems.map(({ message }) => message).join('; ');
    return new BullaError(
      first.code,
      `the revocation status of ${subjectOf(certificate)} is unknown: ${all}`,
      {
        cause: first,
        details: first.details,
        ...(first.hint !== undefined && { hint: first.hint }),
      },
    );
  }
}

function unread(service: StatusService, why: string, cause?: unknown): BullaError {
  return new BullaError('registry-error', `the ${service} cannot be used: ${why}`, {
    cause,
    hint: 'nothing is known about the certificate; tell the operator of its authority',
    details: { service },
  });
}

function asBulla(error: unknown): BullaError {
  if (isBullaError(error)) return error;
  throw error;
}
