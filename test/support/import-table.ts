/**
 * Which room of `src/` may import which. This table is the source of the restrictions in `.biome.jsonc` and of the
 * tables in CONTRIBUTING.md. After a change here, run `npx tsx test/support/import-table.ts`, which writes both.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** One folder, what it may import of its neighbours, and whether it may touch network, disk or clock. */
interface Room {
  readonly name: string;
  readonly may: readonly string[];
  readonly io: boolean;
}

const room = (name: string, may: string, io: boolean): Room => ({ name, may: words(may), io });

type InsideRoom = readonly [name: string, may: readonly string[]];

function inside(
  table: readonly (readonly [around: string, rooms: readonly (readonly [name: string, may: string])[]])[],
): ReadonlyMap<string, readonly InsideRoom[]> {
  return new Map(
    table.map(([around, rooms]) => {
      const lower = (at: number): readonly string[] => rooms.slice(0, at).map(([name]) => name);
      return [around, rooms.map(([name, may], at) => [name, may === '*' ? lower(at) : words(may)])];
    }),
  );
}

const words = (text: string): readonly string[] => text.split(' ').filter(Boolean);

/** The folders of `src/`, lower ones first. */
const ROOMS: readonly Room[] = [
  room('encoding', '', false),
  room('oci', 'encoding', false),
  room('crypto', 'encoding', false),
  room('disk', 'encoding', true),
  room('http', 'encoding', true),
  room('programs', 'encoding', true),
  room('sigstore', 'encoding crypto', false),
  room('signatures', 'encoding oci crypto sigstore', false),
  room('tuf', 'encoding crypto', false),
  room('notary', 'encoding crypto tuf', false),
  room('trust', 'encoding oci crypto tuf', false),
  room('policy', 'encoding oci crypto sigstore signatures tuf notary trust', false),
  room('kubernetes', 'encoding disk http programs', true),
  room('registry', 'encoding oci disk http programs', true),
  room('layout', 'encoding oci disk', true),
  room('keystore', 'encoding crypto disk http programs kubernetes', true),
  room('state', 'encoding oci crypto disk tuf notary trust', true),
  room('mirror', 'encoding crypto disk http tuf', true),
  room('notary-client', 'encoding disk http tuf notary registry', true),
  room('sigstore-client', 'encoding crypto disk http sigstore tuf state mirror', true),
  room('revocation-client', 'encoding crypto disk http', true),
  room('actions', 'encoding oci crypto sigstore signatures tuf notary trust policy', false),
  room(
    'servers',
    'encoding oci crypto disk http programs sigstore signatures tuf notary trust policy kubernetes registry layout keystore state mirror notary-client sigstore-client revocation-client actions',
    true,
  ),
  room(
    'api',
    'encoding oci crypto disk http programs sigstore signatures tuf notary trust policy kubernetes registry layout keystore state mirror notary-client sigstore-client revocation-client actions servers',
    true,
  ),
  room(
    'cli',
    'encoding oci crypto disk http programs sigstore signatures tuf notary trust policy kubernetes registry layout keystore state mirror notary-client sigstore-client revocation-client actions servers api',
    true,
  ),
];

/**
 * Rooms inside a room, lower ones first: which of their neighbours they may import, `*` for every lower one. What
 * they may import from outside is what the room around them may.
 */
const INSIDE: ReadonlyMap<string, readonly InsideRoom[]> = inside([
  [
    'trust',
    [
      ['format', ''],
      ['read', 'format'],
      ['change', 'format read'],
      ['candidates', 'format read change'],
      ['approve', 'format read change candidates'],
      ['publish', 'format read change candidates approve'],
      ['transfer', 'format read'],
      ['report', 'format read change candidates approve'],
    ],
  ],
  [
    'actions',
    [
      ['copy', '*'],
      ['verify', '*'],
      ['sign', '*'],
      ['change', '*'],
      ['renew', '*'],
      ['inspect', '*'],
      ['report', '*'],
      ['recover', '*'],
      ['export', '*'],
      ['check', '*'],
      ['gate', '*'],
      ['docker-trust', '*'],
      ['import-notary', '*'],
      ['sync', 'copy'],
    ],
  ],
  [
    'cli',
    [
      ['render', ''],
      ['shell', 'render'],
      ['flags', 'render shell'],
      ['docker-trust', 'render shell flags'],
      ['commands', 'render shell flags docker-trust'],
      ['start', 'render shell docker-trust commands'],
    ],
  ],
]);

const IO_MODULES = words(
  'node:fs node:fs/promises node:net node:tls node:http node:https node:http2 node:dns node:child_process node:os node:process node:readline node:tty node:worker_threads',
);

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (name: string): string => readFileSync(join(root, name), 'utf8');

/** What is to stand in `.biome.jsonc` for each room: one override, the rooms inside after the one around them. */
function restrictions(): readonly object[] {
  return ROOMS.flatMap((each) => {
    const above = ROOMS.filter(({ name }) => name !== each.name && !each.may.includes(name));
    const outside = above.map(({ name }) => `**/${name}/**`);
    const inside = (INSIDE.get(each.name) ?? []).map(([name, may], _, all) => {
      const not = all.map(([other]) => other).filter((other) => other !== name && !may.includes(other));
      // From a file of the room itself and from one in a folder of it.
      const group = not.flatMap((other) => [`../${other}/**`, `../../${other}/**`]);
      return restriction(each, `${each.name}/${name}`, [...outside, ...group]);
    });
    return [restriction(each, each.name, outside), ...inside];
  });
}

function restriction({ name, io }: Room, folder: string, group: readonly string[]): object {
  const undici = name === 'http' ? [] : [['undici', 'requests go through http/']];
  const ports = [...IO_MODULES, 'undici'].map((module) => [
    module,
    `${name}/ does no I/O: take a port instead`,
  ]);
  const paths = Object.fromEntries(io ? undici : ports) as object;
  const message = `${folder}/ stands below: see the import table in CONTRIBUTING.md`;
  const options = {
    ...(group.length > 0 && { patterns: [{ group, message }] }),
    ...(Object.keys(paths).length > 0 && { paths }),
  };
  const noRestrictedImports = { level: 'error', options };
  return { includes: [`src/${folder}/**`], linter: { rules: { style: { noRestrictedImports } } } };
}

/** `.biome.jsonc` with the restrictions of the table, and whatever else it holds. */
export function biomeConfig(): string {
  const config = JSON.parse(read('.biome.jsonc')) as { overrides: { includes: readonly string[] }[] };
  const others = config.overrides.filter(({ includes }) => !includes[0]?.startsWith('src/'));
  return `${JSON.stringify({ ...config, overrides: [...restrictions(), ...others] }, undefined, 2)}\n`;
}

/** CONTRIBUTING.md with both tables as they follow from this file. */
export function contributing(): string {
  const all = ROOMS.map(({ name, may, io }) => {
    const shown = name === 'cli' ? 'everything' : may.join(', ') || '–';
    return `| \`${name}/\` | ${shown} | ${io ? 'yes' : 'no'} |`;
  });
  const inside = [...INSIDE].flatMap(([around, rooms]) =>
    rooms.map(([name, may]) => `| \`${around}/${name}/\` | ${may.join(', ') || '–'} |`),
  );
  const withRows = (text: string, head: string, rows: readonly string[]): string => {
    const [before, after] = text.split(head);
    if (before === undefined || after === undefined) throw new Error(`CONTRIBUTING.md has no table ${head}`);
    const rest = after.slice(after.indexOf('\n\n'));
    return `${before}${head}${rows.join('\n')}${rest}`;
  };
  const text = withRows(read('CONTRIBUTING.md'), '| Room | May import | I/O |\n|---|---|---|\n', all);
  return withRows(text, '| Room inside | May import of its neighbours |\n|---|---|\n', inside);
}

/** Which file of `src/` imports which, types and dynamic imports included. */
export function importsOfSource(): ReadonlyMap<string, readonly string[]> {
  const files = (readdirSync(join(root, 'src'), { recursive: true }) as string[])
    .map((name) => `src/${name.replaceAll('\\', '/')}`)
    .filter((name) => name.endsWith('.ts'))
    .sort();
  return new Map(
    files.map((file) => {
      const text = read(file).replace(/\/\*[\s\S]*?\*\//g, '');
      const written = text.matchAll(/\b(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g);
      const targets = new Set([...written].map(([, path = '']) => normalize(join(dirname(file), path))));
      targets.delete(file);
      return [file, [...targets].sort()];
    }),
  );
}

/** Imports that the table does not allow, and folders that it does not know, in words. */
export function violations(): readonly string[] {
  return [...importsOfSource()].flatMap(([file, targets]) => {
    const unknown = problemWithPlace(file);
    if (unknown !== undefined) return [unknown];
    const forbidden = targets.filter((target) => !mayImport(file, target));
    return forbidden.map((target) => `${file} imports ${target}`);
  });
}

function problemWithPlace(file: string): string | undefined {
  const [, top = '', sub] = file.split('/');
  if (file === 'src/errors.ts') return undefined;
  const addRow = 'has no row in test/support/import-table.ts';
  if (!ROOMS.some(({ name }) => name === top)) return `src/${top}/ ${addRow}`;
  const inside = INSIDE.get(top);
  if (inside === undefined || inside.some(([name]) => name === sub)) return undefined;
  if (!sub?.endsWith('.ts')) return `src/${top}/${sub}/ ${addRow}`;
  return `${file} lies in none of the rooms of ${top}/`;
}

function mayImport(file: string, target: string): boolean {
  const [, from = '', fromSub = ''] = file.split('/');
  const [, to = '', toSub = ''] = target.split('/');
  if (target === 'src/errors.ts') return true;
  if (from !== to) return ROOMS.find(({ name }) => name === from)?.may.includes(to) === true;
  const inside = INSIDE.get(from);
  if (inside === undefined || fromSub === toSub) return true;
  // What is not in a room yet may be imported and import; nothing lower than it may rely on commands.
  if (toSub.endsWith('.ts')) return true;
  if (fromSub.endsWith('.ts')) return toSub !== 'commands' && toSub !== 'start';
  return inside.some(([name, may]) => name === fromSub && may.includes(toSub));
}

/** Sets of files that import one another in a circle. */
export function circles(imports: ReadonlyMap<string, readonly string[]> = importsOfSource()): string[][] {
  const reached = new Map<string, ReadonlySet<string>>();
  for (const file of imports.keys()) {
    const seen = new Set<string>();
    const open = [...(imports.get(file) ?? [])];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      open.push(...(imports.get(next) ?? []));
    }
    reached.set(file, seen);
  }
  const own = [...imports.keys()].filter((file) => reached.get(file)?.has(file));
  const found = new Map<string, string[]>();
  for (const file of own) {
    const circle = own.filter((other) => reached.get(file)?.has(other) && reached.get(other)?.has(file));
    found.set(circle[0] as string, circle);
  }
  return [...found.values()];
}

/** Pairs of rooms inside `around` of which the first imports the second, `a -> b`. */
export function arrowsInside(around: string): readonly string[] {
  const arrows = new Set<string>();
  const inside = (file: string): string | undefined => {
    const parts = relative(`src/${around}`, file).split('/');
    return parts[0] === '..' ? undefined : parts.length > 1 ? parts[0] : '.';
  };
  for (const [file, targets] of importsOfSource()) {
    for (const target of targets) {
      const [from, to] = [inside(file), inside(target)];
      if (from !== undefined && to !== undefined && from !== to) arrows.add(`${from} -> ${to}`);
    }
  }
  return [...arrows].sort();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(join(root, '.biome.jsonc'), biomeConfig());
  writeFileSync(join(root, 'CONTRIBUTING.md'), contributing());
}
