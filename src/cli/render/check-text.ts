import type { CheckReport } from '../../actions/check/check.ts';
import type { CheckName, Finding, State } from '../../actions/check/finding.ts';
import type { Line, Style } from './style.ts';

/** How checks are called in the table. */
const TITLES: Readonly<Record<CheckName, string>> = {
  tls: 'TLS',
  credentials: 'credentials',
  api: 'API',
  clock: 'clock',
  listing: 'tags/list',
  head: 'HEAD',
  'conditional-get': 'conditional GET',
  referrers: 'referrers',
  push: 'push',
  types: 'types',
  'tag-moves': 'moving tags',
  'read-after-write': 'read after write',
  'conditional-put': 'conditional PUT',
  mount: 'mount',
  'delete-tags': 'delete tags',
  'delete-manifests': 'delete manifests',
};

const MARKS: Readonly<Record<State, readonly [Style, string]>> = {
  good: ['good', 'ok'],
  around: ['soon', 'adapts'],
  warn: ['soon', 'warning'],
  bad: ['bad', 'fails'],
  unknown: ['faint', 'unknown'],
};

const TITLE_WIDTH = Math.max(...Object.values(TITLES).map((title) => title.length)) + 2;
const MARK_WIDTH = 9;

/** The table of a report: what was found, and below it what bulla does about it. */
export function checkLines(report: CheckReport): Line[] {
  const { registry, repository, works, left } = report;
  const indent = ' '.repeat(TITLE_WIDTH + MARK_WIDTH);
  return [
    [['strong', repository === undefined ? registry : `${registry}/${repository}`]],
    ...report.findings.filter(isTold).flatMap((finding) => findingLines(finding, indent)),
    ...untoldLines(report.findings),
    '',
    [
      'verifying: ',
      abilityPiece(works.verifying),
      '   signing: ',
      abilityPiece(works.signing),
      '   collections: ',
      abilityPiece(works.collections),
    ],
    ...left.map((reference): Line => [['soon', 'left behind: '], reference]),
  ];
}

/** What is unknown for one reason stands in one line. */
function untoldLines(findings: readonly Finding[]): Line[] {
  const reasons = new Map<string, string[]>();
  for (const finding of findings) {
    if (isTold(finding)) continue;
    reasons.set(finding.found, [...(reasons.get(finding.found) ?? []), TITLES[finding.check]]);
  }
  const [style, mark] = MARKS.unknown;
  return [...reasons].map(([why, titles]): Line => [[style, mark], `: ${titles.join(', ')} (${why})`]);
}

function isTold(finding: Finding): boolean {
  return finding.state !== 'unknown';
}

function findingLines(finding: Finding, indent: string): Line[] {
  const [style, mark] = MARKS[finding.state];
  const first: Line = [
    TITLES[finding.check].padEnd(TITLE_WIDTH),
    [style, mark],
    ' '.repeat(MARK_WIDTH - mark.length),
    finding.found,
  ];
  if (finding.consequence === undefined) return [first];
  return [first, [indent, ['faint', `→ ${finding.consequence}`]]];
}

function abilityPiece(works: 'yes' | 'no' | 'unknown'): readonly [Style, string] {
  const styles = { yes: 'good', no: 'bad', unknown: 'faint' } as const;
  return [styles[works], works];
}

/** The report for `-o json` (spec/check.md). */
export function checkJson(report: CheckReport): Record<string, unknown> {
  return {
    registry: report.registry,
    repository: report.repository ?? null,
    works: report.works,
    checks: report.findings.map(({ check, state, found, consequence, facts, code, breaks }) => ({
      check,
      state,
      found,
      consequence: consequence ?? null,
      ...(code !== undefined && { code }),
      ...(breaks !== undefined && { breaks }),
      facts: facts ?? {},
    })),
    left: report.left,
  };
}
