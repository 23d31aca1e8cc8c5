import type { ReadCollection, Report, ReportedKey, ReportedRole } from '../../src/actions/report/report.ts';
import type { Digest } from '../../src/oci/digest.ts';

export const REPORT_TIME: Date = new Date('2026-12-01T10:00:00Z');

const DAY_MS = 86_400_000;
const inDays = (days: number): Date => new Date(REPORT_TIME.getTime() + days * DAY_MS);
const hex = (text: string): string => text.repeat(64).slice(0, 64);
const digest = (text: string): Digest => `sha256:${hex(text)}` as Digest;

export function reportedKey(id: string, more: Partial<ReportedKey> = {}): ReportedKey {
  return { keyid: hex(id), scheme: 'ed25519', hasSigned: true, ...more };
}

export function reportedRole(role: string, more: Partial<ReportedRole> = {}): ReportedRole {
  const kind =
    role === 'root' || role === 'targets' || role === 'names' || role === 'snapshot' || role === 'timestamp'
      ? role
      : 'signer';
  return {
    role,
    kind,
    version: 3,
    threshold: 1,
    expires: inDays(200),
    state: 'fine',
    keys: [reportedKey('3f')],
    ...more,
  };
}

/** A collection in which all is well; `text` is put everywhere where others may write. */
export function reportedCollection(
  place: string,
  more: Partial<ReadCollection> = {},
  text = 'v1',
): ReadCollection {
  return {
    ...{ place, state: 'fine', name: place, collection: hex('c0ffee'), head: digest('beef'), trusted: true },
    ...{ created: inDays(-2), attention: [], notes: [], hasMoreNames: false, waiting: [], moreChanges: 0 },
    roles: [
      reportedRole('root', {
        threshold: 2,
        keys: [
          reportedKey('ef', { name: 'root' }),
          reportedKey('a1'),
          reportedKey('99', { hasSigned: false }),
        ],
      }),
      reportedRole('targets'),
      reportedRole('names', { count: 2, keys: [reportedKey('77', { name: text })] }),
      reportedRole(text === 'v1' ? 'alice' : text, { count: 1, paths: [text] }),
      reportedRole('snapshot', { expires: inDays(12) }),
      reportedRole('timestamp', { expires: inDays(12) }),
    ],
    names: [
      { name: text, digest: digest('4e'), signers: ['names', text], since: inDays(-3) },
      { name: 'latest', digest: digest('5e'), signers: ['names'] },
    ],
    changes: [
      {
        id: hex('ab'),
        at: inDays(-3),
        role: 'names',
        by: text,
        key: text,
        set: [{ name: text, digest: digest('4e') }],
        unset: [text],
        more: 0,
      },
    ],
    roots: [{ version: 1, changes: [`made by ${text}`] }],
    ...more,
  };
}

/** A report with `text` in every place where others may write, and one collection of each state. */
export function hostileReport(text: string): Report {
  const point = { kind: 'conflict', urgency: 'bad', what: text, advice: text } as const;
  return {
    at: REPORT_TIME,
    worst: 'registry-unreachable',
    collections: [
      reportedCollection('registry.example.com/team/app', {}, text),
      reportedCollection(
        'registry.example.com/team/worker',
        {
          ...{ state: 'bad', trusted: false, name: text, attention: [point, { ...point, urgency: 'soon' }] },
          notes: [{ ...point, urgency: 'faint' }],
          waiting: [
            {
              ...{
                id: hex('77'),
                roles: [text],
                state: 'signatures',
                summary: [text],
                since: inDays(-1),
                signedBy: [text],
              },
              missing: [{ role: text, delegator: 'root', threshold: 2, valid: [], open: [text] }],
            },
          ],
        },
        text,
      ),
      { place: text, state: 'bad', failure: { code: 'registry-unreachable', message: text, hint: text } },
    ],
  };
}

/** Text that others may have written, and what of it a page must not become. */
export const HOSTILE: readonly (readonly [what: string, text: string])[] = [
  ['a script', '</title></style></svg><script>document.title="hacked"</script>'],
  ['an image that fails to load', '<img src=x onerror=document.title="hacked">'],
  [
    'a svg that runs when it is loaded',
    '<svg onload=document.title="hacked"><animate onbegin=alert(1) attributeName=x>',
  ],
  ['an end of an attribute in double quotes', '" autofocus onfocus="document.title=`hacked`" x="'],
  ['an end of an attribute in single quotes', "' autofocus onfocus='document.title=`hacked`' x='"],
  ['a javascript: URL', 'javascript:document.title="hacked"'],
  ['a data: URL', 'data:text/html,<script>parent.document.title="hacked"</script>'],
  [
    'a form, a frame and a base',
    '<base href="https://example.com/"><iframe srcdoc="<script>1</script>"></iframe><form action=//example.com><button>',
  ],
  [
    'a refresh and a style',
    '<meta http-equiv=refresh content="0;url=https://example.com/"><style>*{display:none}</style>',
  ],
  ['an end of a comment and of a template', '--><!-- ]]> {{document.title="hacked"}} <%= 1 %>'],
  ['an entity', '&lt;script&gt;&#x3c;script>'],
  ['text that is turned around', 'safe\u202egnp.exe\u2066\u2069\u200f'],
  ['text with characters of no width', 'v\u200b1\u2060\ufeff\u00ad\u034f\u3164\u115f\u{e0041}\ufe0f'],
  ['controls and line ends', 'a\u0000b\u0007c\u001b[31md\r\ne\u2028f\u0085'],
  ['half a pair', '\ud800x\udc00'],
  ['marks that pile up', `z${'\u0335\u0321\u0489'.repeat(200)}`],
  ['a name of a megabyte', 'x'.repeat(1_048_576)],
  ['a megabyte of words', 'word '.repeat(209_716)],
  ['a name of a member of every object', '__proto__'],
];
