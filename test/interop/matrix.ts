/**
 * Which signatures are tested with the tools that others sign and verify with, and where. The table in
 * spec/signatures.md is made of this (test/spec/interop.test.ts compares them, and looks for the tests).
 */
export const PLACES = ['docker-registry', 'olareg', 'embedded', 'layout'] as const;
export type Place = (typeof PLACES)[number];

/** A test, by its file and its title, or why there is none. */
export type Cell = { readonly file: string; readonly title: string } | { readonly impossible: string };

export interface Row {
  readonly format: string;
  /** bulla signs, the stock tool verifies. */
  readonly ours: Readonly<Record<Place, Cell>>;
  /** The stock tool signs, bulla verifies. */
  readonly theirs: Readonly<Record<Place, Cell>>;
}

const everywhere = (cell: Cell, layout: Cell = cell): Readonly<Record<Place, Cell>> => ({
  ...{ 'docker-registry': cell, olareg: cell, embedded: cell },
  layout,
});

const SIGSTORE = 'sigstore.test.ts';
const COSIGN_IN_LAYOUT = { file: SIGSTORE, title: 'bulla verifies in a layout what stock cosign made' };
const AT_SIG_TAG = { file: SIGSTORE, title: 'bulla verifies what stock cosign signs at a .sig tag' };
const NO_LAYOUTS = { impossible: 'stock cosign does not verify images in layouts' };
const notation = (format: string): Row => {
  const cell = everywhere({
    file: 'notation-certificates.test.ts',
    title: 'are read by the other tool; with a time stamp: %s',
  });
  return { format, ours: cell, theirs: cell };
};
const REFUSED = { file: SIGSTORE, title: 'bulla refuses a chain of certificates in a bundle of version 0.3' };
const NOT_WRITTEN = {
  impossible: 'bulla signs with certificates of an own authority in the formats of Notation',
};
const NO_REKOR = {
  impossible:
    'stock cosign 3 writes it only with Rekor v1, which needs a database; test/signatures/cosign-legacy-keyless.test.ts has what cosign 2 wrote',
};

export const MATRIX: readonly Row[] = [
  notation('Notation JWS'),
  notation('Notation COSE'),
  notation('Notation JWS, with a time stamp'),
  notation('Notation COSE, with a time stamp'),
  {
    format: 'Sigstore bundle, by a key',
    ours: everywhere(
      {
        file: SIGSTORE,
        title: 'stock cosign verifies a key’s signature from the log, without a flag for that',
      },
      NO_LAYOUTS,
    ),
    theirs: everywhere(
      { file: SIGSTORE, title: 'bulla verifies what stock cosign signs (keyless: %s)' },
      COSIGN_IN_LAYOUT,
    ),
  },
  {
    format: 'Sigstore bundle, keyless',
    ours: everywhere(
      { file: SIGSTORE, title: 'stock cosign verifies what bulla signs keyless, and bulla does' },
      NO_LAYOUTS,
    ),
    theirs: everywhere(
      { file: SIGSTORE, title: 'bulla verifies what stock cosign signs (keyless: %s)' },
      COSIGN_IN_LAYOUT,
    ),
  },
  {
    format: 'Sigstore bundle, by a certificate of an own authority',
    ours: everywhere(NOT_WRITTEN),
    theirs: everywhere(REFUSED),
  },
  {
    format: 'attestation in a bundle',
    ours: everywhere({ file: SIGSTORE, title: 'stock cosign verifies what bulla attests: %s' }, NO_LAYOUTS),
    theirs: everywhere(
      { file: SIGSTORE, title: 'bulla verifies what stock cosign attests (keyless: %s)' },
      COSIGN_IN_LAYOUT,
    ),
  },
  {
    format: '`.sig` tag, by a key',
    ours: everywhere(
      { file: 'podman.test.ts', title: 'stock cosign verifies it as well, and bulla what stock cosign adds' },
      NO_LAYOUTS,
    ),
    theirs: {
      ...everywhere({ file: 'signatures.test.ts', title: 'bulla verifies what cosign signs: %s' }),
      embedded: AT_SIG_TAG,
      layout: AT_SIG_TAG,
    },
  },
  {
    format: '`.att` tag, by a key',
    ours: everywhere({ impossible: 'bulla writes attestations as bundles' }),
    theirs: everywhere(
      { file: SIGSTORE, title: 'bulla verifies what stock cosign attests at an .att tag' },
      COSIGN_IN_LAYOUT,
    ),
  },
  { format: '`.sig` and `.att` tags, keyless', ours: everywhere(NO_REKOR), theirs: everywhere(NO_REKOR) },
];

/** The table, and below it the reasons. */
export function matrixText(): string {
  const reasons: string[] = [];
  const text = (cell: Cell): string => {
    if (!('impossible' in cell)) return cell === REFUSED ? 'refused' : 'yes';
    if (!reasons.includes(cell.impossible)) reasons.push(cell.impossible);
    return `– (${reasons.indexOf(cell.impossible) + 1})`;
  };
  const lines = MATRIX.flatMap(({ format, ours, theirs }) =>
    [['bulla signs', ours] as const, ['bulla verifies', theirs] as const].map(
      ([who, cells]) => `| ${[format, who, ...PLACES.map((place) => text(cells[place]))].join(' | ')} |`,
    ),
  );
  return [
    `| Format | | ${PLACES.join(' | ')} |`,
    `|---|---|${PLACES.map(() => '---|').join('')}`,
    ...lines,
    '',
    ...reasons.map((reason, at) => `${at + 1}. ${reason}`),
  ].join('\n');
}
