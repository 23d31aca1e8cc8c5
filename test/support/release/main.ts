import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { peer } from '../../interop/peers.ts';
import { release } from './release.ts';

/**
 * `make release`: builds, and makes `dist/release`. Settings: SOURCE_DATE_EPOCH; NODES, the executables of Node that the
 * package is compiled for besides this one, as in PATH, the last of which goes into the single executable; RELEASE_REPOSITORY (HOST/PATH),
 * RELEASE_SIGN and RELEASE_VERIFY, flags of `bulla sign` and `bulla verify`, to publish it.
 */
const root = new URL('../../..', import.meta.url).pathname;
const words = (name: string): readonly string[] =>
  (process.env[name] ?? '').split(' ').filter((word) => word !== '');
const nodes = process.env['NODES']?.split(delimiter) ?? [peer('node22'), peer('node24')];
const node = nodes.at(-1) ?? process.execPath;
const [sign, verify] = [words('RELEASE_SIGN'), words('RELEASE_VERIFY')];
if ((sign.length === 0) !== (verify.length === 0))
  throw new Error('set both RELEASE_SIGN and RELEASE_VERIFY, or neither');

const env = { ...process.env, NODES: nodes.join(delimiter) };
execFileSync('node_modules/.bin/tsx', ['test/support/build.ts'], { cwd: root, env, stdio: 'inherit' });
const out = join(root, 'dist/release');
const published = await release({
  ...{ root, node, out },
  sourceDate: Number(process.env['SOURCE_DATE_EPOCH'] ?? git('log', '-1', '--format=%ct') ?? 0),
  revision: git('rev-parse', 'HEAD'),
  repository: process.env['RELEASE_REPOSITORY'] || undefined,
  signing: sign.length === 0 ? undefined : { sign, verify },
});
for (const name of readdirSync(out).sort()) {
  const file = statSync(join(out, name));
  if (file.isFile()) process.stdout.write(`dist/release/${name} ${Math.ceil(file.size / 1024)} KiB\n`);
}
process.stdout.write(`verified ${published.image}\nverified ${published.files}\n`);

/** What git says, if this is a checkout. */
function git(...args: string[]): string | undefined {
  try {
    return execFileSync('git', args, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}
