import { formatTime } from '../../encoding/time.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import type {
  ApiFacts,
  CertificateFacts,
  CredentialFacts,
  ListingFacts,
  ManifestFacts,
  ReferrersFacts,
} from '../../oci/probes.ts';
import { ABILITIES, type Finding, failing, unasked } from './finding.ts';

/** A certificate that expires sooner is reported, in days. */
const SOON_DAYS = 21;
const DAY_MS = 86_400_000;
/** A larger clock difference is reported, in seconds: signatures and metadata expire by the local clock. */
const SKEW_SECONDS = 60;

export function judgeCertificate(seen: CertificateFacts, now: Date): Finding {
  const check = 'tls';
  if (seen.kind === 'plain') {
    return {
      check,
      state: 'around',
      found: 'plain HTTP',
      consequence: 'signatures are still verified, but credentials can be read in transit',
      facts: { kind: 'plain' },
    };
  }
  if (seen.kind === 'proxied')
    return {
      ...unasked(check, 'behind a proxy: the certificate was not looked at'),
      facts: { kind: 'proxied' },
    };
  const { protocol, subject, issuer, notBefore, notAfter, problem } = seen;
  const hasTimes = !Number.isNaN(notAfter.getTime()) && !Number.isNaN(notBefore.getTime());
  const days = Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);
  const isExpired = hasTimes && now > notAfter;
  const isEarly = hasTimes && now < notBefore;
  const until = hasTimes ? `, ${isExpired ? 'expired' : 'valid until'} ${formatTime(notAfter)}` : '';
  const facts = {
    kind: 'tls',
    protocol,
    subject,
    issuer,
    ...(hasTimes && { notBefore: formatTime(notBefore), notAfter: formatTime(notAfter), daysLeft: days }),
    trusted: problem === undefined,
    ...(problem !== undefined && { problem }),
  };
  const found = `${protocol}, certificate of "${subject}" by "${issuer}"${until}`;
  if (isExpired || isEarly || problem !== undefined) {
    const what = isExpired ? '' : isEarly ? ', not valid yet' : `, not trusted: ${problem}`;
    return {
      check,
      state: 'warn',
      found: found + what,
      consequence: isExpired
        ? 'renew it at the registry'
        : 'give the CA that issued it with --ca-file; check the clock of this machine',
      facts,
    };
  }
  if (days < SOON_DAYS)
    return {
      check,
      state: 'warn',
      found: `${found} (${days} days)`,
      consequence: 'renew it at the registry',
      facts,
    };
  return { check, state: 'good', found: `${found} (${days} days)`, facts };
}

export function judgeCredentials(found: CredentialFacts, api: ApiFacts | undefined): Finding {
  const check = 'credentials';
  const facts = {
    source: found.source,
    ...(found.where !== undefined && { where: found.where }),
    ...(found.form !== undefined && { form: found.form }),
    ...(api !== undefined && { asked: api.login }),
  };
  if (found.problem !== undefined) {
    return {
      check,
      state: 'warn',
      found: found.problem.message,
      consequence: found.problem.hint,
      facts: { ...facts, code: found.problem.code },
    };
  }
  const where = found.source === 'command-line' ? 'on the command line' : `in ${found.where}`;
  const have = found.source === 'none' ? 'none found' : `a ${found.form} ${where}`;
  const asks =
    api === undefined
      ? ''
      : api.login === 'none'
        ? '; the registry asks for none'
        : `; the registry asks for ${api.login === 'basic' ? 'a password' : 'a token'}`;
  const isRefused = isBullaError(api?.refusal, 'unauthorized');
  if (!isRefused) return { check, state: 'good', found: have + asks, facts };
  return {
    check,
    state: 'warn',
    found: `${have}${asks}${found.source === 'none' ? '' : ', and refuses what it got'}`,
    consequence: 'log in with bulla login',
    facts: { ...facts, refused: true },
  };
}

export function judgeApi(api: ApiFacts): Finding {
  const check = 'api';
  const facts = {
    status: api.status,
    ...(api.version !== undefined && { version: api.version }),
    ...(api.server !== undefined && { server: api.server }),
  };
  if (api.refusal !== undefined) return { ...failing(check, notTheApi(api.refusal), ABILITIES), facts };
  const parts = [api.version ?? 'OCI distribution, without a version header', api.server].filter(
    (part) => part !== undefined,
  );
  return { check, state: 'good', found: parts.join(', '), facts };
}

/** A server without anything at `/v2/` is not a registry, rather than a registry without an image. */
function notTheApi(error: BullaError): BullaError {
  if (!isBullaError(error, 'not-found')) return error;
  return new BullaError('registry-error', error.message, {
    hint: 'no registry answers at this address: check the host and the port',
    details: error.details,
  });
}

export function judgeClock({ skewSeconds }: ApiFacts): Finding {
  const check = 'clock';
  if (skewSeconds === undefined) return unasked(check, 'the registry tells no time (Date)');
  const facts = { skewSeconds };
  const off = Math.abs(skewSeconds);
  if (off <= SKEW_SECONDS)
    return {
      check,
      state: 'good',
      found: off <= 1 ? 'in step with ours' : `${off} s apart from ours`,
      facts,
    };
  return {
    check,
    state: 'warn',
    found: `${off} s ${skewSeconds > 0 ? 'ahead of' : 'behind'} ours`,
    consequence: 'expiry is judged by the clock of this machine: set it right, if it is this one',
    facts,
  };
}

export function judgeListing(seen: ListingFacts): Finding {
  const check = 'listing';
  const { refusal, tags, sorted, limit, link, after, afterAbsent } = seen;
  if (refusal !== undefined) {
    if (isBullaError(refusal, 'not-found')) return unasked(check, 'the repository is not there yet');
    return failing(check, refusal, ['collections']);
  }
  const facts = {
    tags: tags.length,
    sorted,
    limit,
    link: link ?? null,
    last: after,
    lastAbsent: afterAbsent,
  };
  if (tags.length < 2) return { ...unasked(check, 'too few tags to tell'), facts };
  const parts = [
    `\`last\` ${AFTER[after]}`,
    ...(afterAbsent === after ? [] : [`\`last\` of a tag that is not there ${AFTER[afterAbsent]}`]),
    limit === 'unknown' ? '' : `\`n\` ${limit}${link === false ? ' without a Link' : ''}`,
    sorted ? 'sorted' : 'not sorted',
  ].filter((part) => part !== '');
  if (after === 'after') return { check, state: 'good', found: parts.join(', '), facts };
  return {
    check,
    state: after === 'unknown' ? 'unknown' : 'around',
    found: parts.join(', '),
    consequence: 'the whole list is asked for',
    facts,
  };
}

const AFTER: Readonly<Record<ListingFacts['after'], string>> = {
  after: 'works',
  ignored: 'is ignored',
  empty: 'gives nothing',
  unordered: 'gives tags in another order',
  refused: 'is refused',
  unknown: 'did not tell',
};

export function judgeManifest(seen: ManifestFacts): readonly Finding[] {
  const { head } = seen;
  const missing = (['digest', 'length', 'type'] as const).filter((name) => head[name] !== 'same');
  const facts = { ...head, getDigest: seen.digest };
  const works = head.status === 200 && missing.length === 0;
  const otherwise = missing.map((name) => `${name} ${head[name] === 'missing' ? 'missing' : 'differs'}`);
  const how = head.status === 200 ? otherwise.join(', ') : `answered ${head.status}`;
  const conditional = { etag: seen.etag, notModified: seen.notModified };
  return [
    works
      ? { check: 'head', state: 'good', found: 'digest, length and type as with GET', facts }
      : { check: 'head', state: 'around', found: how, consequence: 'GET is asked instead', facts },
    seen.notModified
      ? {
          check: 'conditional-get',
          state: 'good',
          found: 'If-None-Match is answered 304',
          facts: conditional,
        }
      : {
          check: 'conditional-get',
          state: 'around',
          found: seen.etag ? 'If-None-Match is ignored' : 'no ETag, If-None-Match is ignored',
          consequence: works ? 'HEAD tells whether a tag has moved' : 'tags are read anew each time',
          facts: conditional,
        },
  ];
}

export function judgeReferrers(seen: ReferrersFacts): Finding {
  const check = 'referrers';
  const facts = { by: seen.by ?? null };
  if (seen.by === 'api') return { check, state: 'good', found: 'referrers API', facts };
  if (seen.isSubject) {
    return {
      check,
      state: 'bad',
      found: 'no referrers API, and the fallback tag names the image itself',
      consequence: 'signatures cannot be listed there: keep images that are to be signed in another registry',
      facts: { ...facts, isSubject: true },
      code: 'registry-error',
      breaks: ['verifying', 'signing'],
    };
  }
  if (seen.by === undefined) return { ...unasked(check, 'the repository is not there yet'), facts };
  return {
    check,
    state: 'around',
    found: 'no referrers API',
    consequence:
      'signatures are listed under the fallback tag (sha256-…), which is read back after each write',
    facts,
  };
}
