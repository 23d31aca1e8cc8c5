import { BullaError, EXIT_CODES } from '../../errors.ts';
import { type Digest, digestOf } from '../../oci/digest.ts';
import type { RegistryProbes, RepositoryProbes } from '../../oci/probes.ts';
import { isBesideTag, type Tag } from '../../oci/reference.ts';
import type { CallOptions } from '../../oci/target.ts';
import {
  ABILITIES,
  type Ability,
  CHECKS,
  type CheckName,
  type Finding,
  failing,
  failureOf,
  unasked,
} from './finding.ts';
import {
  judgeApi,
  judgeCertificate,
  judgeClock,
  judgeCredentials,
  judgeListing,
  judgeManifest,
  judgeReferrers,
} from './reading.ts';
import { Trial, type TrialLimits } from './writing.ts';

export interface CheckOptions extends CallOptions {
  /** Left out: the first of those that the registry lists; with `write`, `bulla-check`. */
  readonly repository?: string | undefined;
  /** The image that is looked at; left out, one of those that are listed. */
  readonly version?: Tag | Digest | undefined;
  /** Try pushing, moving and removing as well. */
  readonly write?: TrialLimits | undefined;
  readonly now: Date;
}

/** What a registry can do, and what will work there. */
export interface CheckReport {
  readonly registry: string;
  /** The repository that was looked at; undefined where there was none. */
  readonly repository: string | undefined;
  readonly findings: readonly Finding[];
  readonly works: Readonly<Record<Ability, 'yes' | 'no' | 'unknown'>>;
  /** What could not be removed of what was pushed. */
  readonly left: readonly string[];
}

/** Of nothing that is there, but a proper digest. */
const NO_IMAGE: Digest = digestOf(new Uint8Array());

/**
 * Looks at what a registry can do. Nothing is written unless that is asked for, and what is written is removed.
 * @throws BullaError interrupted, timeout of the run
 */
export async function checkRegistry(probes: RegistryProbes, options: CheckOptions): Promise<CheckReport> {
  const isWriting = options.write !== undefined;
  const door = await lookAtDoor(probes, options);
  const inside = door.answers ? await lookInside(probes, options) : NOTHING;
  const findings = [...door.findings, ...inside.findings];
  const known = new Set(findings.map(({ check }) => check));
  for (const check of CHECKS) {
    if (known.has(check)) continue;
    const why = door.answers
      ? reasonFor(check, isWriting, inside.repository !== undefined)
      : 'the registry was not reached';
    findings.push(unasked(check, why));
  }
  const settled = findings.map((finding) => withoutLogin(finding, findings));
  settled.sort((a, b) => CHECKS.indexOf(a.check) - CHECKS.indexOf(b.check));
  return {
    registry: probes.registry,
    repository: inside.repository,
    findings: settled,
    works: worksOf(settled),
    left: inside.left,
  };
}

/** The registry itself: how it is reached, and who we are to it. */
async function lookAtDoor(
  probes: RegistryProbes,
  options: CheckOptions,
): Promise<{ readonly findings: readonly Finding[]; readonly answers: boolean }> {
  const { signal, now, repository } = options;
  const tls = await look('tls', options, async () =>
    judgeCertificate(await probes.certificate({ signal }), now),
  );
  const credentials = await probes.credentials(repository);
  try {
    const api = await probes.api({ signal });
    const findings = [tls, judgeCredentials(credentials, api), judgeApi(api), judgeClock(api)];
    return { findings, answers: true };
  } catch (error) {
    const failed = failing('api', failureOf(error, signal), ABILITIES);
    return { findings: [tls, judgeCredentials(credentials, undefined), failed], answers: false };
  }
}

interface Inside {
  readonly findings: readonly Finding[];
  readonly repository: string | undefined;
  readonly left: readonly string[];
}

/** Where it is tried if no repository is named: registries let us empty repositories, and not remove them. */
const TEMPORARY = 'bulla-check';

const NOTHING: Inside = { findings: [], repository: undefined, left: [] };

/** One repository of it. */
async function lookInside(probes: RegistryProbes, options: CheckOptions): Promise<Inside> {
  const { write, signal } = options;
  const chosen = await chooseRepository(probes, options);
  const seen = chosen === undefined ? [] : await read(chosen, options);
  if (write === undefined) return { findings: seen, repository: chosen?.repository, left: [] };
  const place = chosen ?? probes.repository(TEMPORARY);
  const elsewhere = chosen === undefined ? `${TEMPORARY}-mount` : undefined;
  const tried = await new Trial(probes, place, { ...write, elsewhere, signal }).run();
  // What was tried on objects of our own tells more than what was there to be looked at.
  const telling = tried.findings.filter(
    ({ check, state }) => state !== 'unknown' || !seen.some((one) => one.check === check),
  );
  const told = new Set(telling.map(({ check }) => check));
  const findings = [...seen.filter(({ check }) => !told.has(check)), ...telling];
  return { findings, repository: place.repository, left: tried.left };
}

/**
 * The failure for a report in which something does not work; undefined if everything that was tried works.
 * @param details of the failure
 */
export function failureOfReport(
  report: CheckReport,
  details: Readonly<Record<string, unknown>>,
): BullaError | undefined {
  const broken = ABILITIES.filter((ability) => report.works[ability] === 'no');
  const culprit = report.findings
    .filter(({ state, breaks }) => state === 'bad' && breaks?.some((ability) => broken.includes(ability)))
    .sort((a, b) => EXIT_CODES[a.code ?? 'registry-error'] - EXIT_CODES[b.code ?? 'registry-error'])[0];
  if (culprit === undefined) return undefined;
  const place = report.repository === undefined ? report.registry : `${report.registry}/${report.repository}`;
  return new BullaError(
    culprit.code ?? 'registry-error',
    `${place}: ${list(broken)} will not work: ${culprit.check}: ${culprit.found}`,
    { hint: culprit.consequence ?? 'the report says what the registry answered', details },
  );
}

function list(abilities: readonly Ability[]): string {
  return abilities.length < 2
    ? abilities.join('')
    : `${abilities.slice(0, -1).join(', ')} and ${abilities.at(-1)}`;
}

async function look(
  check: CheckName,
  { signal }: CallOptions,
  work: () => Promise<Finding>,
): Promise<Finding> {
  try {
    return await work();
  } catch (error) {
    return unasked(check, failureOf(error, signal).message);
  }
}

async function chooseRepository(
  probes: RegistryProbes,
  { repository, write, signal }: CheckOptions,
): Promise<RepositoryProbes | undefined> {
  if (repository !== undefined) return probes.repository(repository);
  if (write !== undefined) return undefined;
  try {
    const [first] = await probes.repositories({ signal });
    return first === undefined ? undefined : probes.repository(first);
  } catch (error) {
    failureOf(error, signal);
    return undefined;
  }
}

/** What can be seen of a repository without writing to it. */
async function read(repository: RepositoryProbes, options: CheckOptions): Promise<readonly Finding[]> {
  const { signal } = options;
  const findings: Finding[] = [];
  let tags: readonly Tag[] = [];
  findings.push(
    await look('listing', options, async () => {
      const listing = await repository.listing({ signal });
      tags = listing.tags;
      return judgeListing(listing);
    }),
  );
  const version = options.version ?? tags.find((tag) => !isBesideTag(tag)) ?? tags[0];
  let subject = NO_IMAGE;
  if (version === undefined) {
    findings.push(unasked('head', 'no image to ask for'), unasked('conditional-get', 'no image to ask for'));
  } else {
    try {
      const manifest = await repository.manifest(version, { signal });
      subject = manifest.descriptor.digest;
      findings.push(...judgeManifest(manifest));
    } catch (error) {
      findings.push(failing('head', failureOf(error, signal), ['verifying']));
    }
  }
  try {
    findings.push(judgeReferrers(await repository.referrers(subject, { signal })));
  } catch (error) {
    findings.push(failing('referrers', failureOf(error, signal), ['verifying', 'signing']));
  }
  return findings;
}

/** A registry that refuses a login, but allows reading without one, refuses nothing that we need. */
function withoutLogin(finding: Finding, findings: readonly Finding[]): Finding {
  if (finding.check !== 'api' || finding.state !== 'bad') return finding;
  const isRead = findings.some(
    ({ check, state }) => check === 'head' && state !== 'bad' && state !== 'unknown',
  );
  if (!isRead) return finding;
  const { code: _, breaks: __, ...rest } = finding;
  return {
    ...rest,
    state: 'around',
    consequence: 'the repository itself answers: bulla asks nothing of /v2/',
  };
}

function reasonFor(check: CheckName, isWriting: boolean, hasRepository: boolean): string {
  const reading: readonly CheckName[] = ['listing', 'head', 'conditional-get', 'referrers'];
  if (isWriting) return 'not reached';
  if (reading.includes(check) && !hasRepository)
    return 'no repository to look at: name one, or try with --write';
  return 'not tried: --write tries it';
}

function worksOf(findings: readonly Finding[]): CheckReport['works'] {
  const state = (check: CheckName): string => findings.find((one) => one.check === check)?.state ?? 'unknown';
  const isTold = (...checks: CheckName[]): boolean => checks.every((check) => state(check) !== 'unknown');
  const works = (ability: Ability, isKnown: boolean): 'yes' | 'no' | 'unknown' => {
    if (findings.some((one) => one.state === 'bad' && one.breaks?.includes(ability) === true)) return 'no';
    return isKnown ? 'yes' : 'unknown';
  };
  return {
    verifying: works('verifying', isTold('head', 'referrers')),
    signing: works('signing', isTold('push', 'types', 'referrers')),
    collections: works('collections', isTold('push', 'types', 'tag-moves', 'listing')),
  };
}
