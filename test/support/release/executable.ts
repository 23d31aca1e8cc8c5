import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';
import { peer } from '../../interop/peers.ts';

/** The mark in Node's executable that says whether there is a program in it (Node's documentation of SEA). */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/**
 * Makes one file of Node and the command: Node's single executable application. The program and its code cache are assets,
 * and compiled as the command on files is: Node's own `useCodeCache` stores no function that is compiled lazily, and a main
 * script has no `import()` and no `require` of packages.
 * @param node the executable that becomes it; `dist` must hold a code cache for it
 * @throws Error where dist has no code cache for this Node, or postject is not installed
 */
export function makeExecutable(node: string, dist: string, path: string): void {
  const work = mkdtempSync(join(tmpdir(), 'bulla-executable-'));
  try {
    const { version } = JSON.parse(readFileSync(join(dist, 'lib/package.json'), 'utf8')) as {
      version: string;
    };
    buildSync({
      entryPoints: [new URL('../../../src/cli/start/executable.ts', import.meta.url).pathname],
      outfile: join(work, 'main.js'),
      bundle: true,
      minify: true,
      platform: 'node',
      target: 'node20.19',
      format: 'cjs',
      define: { BULLA_VERSION: JSON.stringify(version) },
    });
    const config = {
      ...{
        main: 'main.js',
        output: 'blob',
        disableExperimentalSEAWarning: true,
        useSnapshot: false,
        useCodeCache: false,
      },
      assets: Object.fromEntries(programsFor(node, dist).map((name) => [name, resolve(dist, name)])),
    };
    writeFileSync(join(work, 'sea.json'), JSON.stringify(config));
    // Where the entry is goes into the executable: a path that is the same everywhere.
    execFileSync(node, ['--experimental-sea-config', 'sea.json'], { cwd: work, stdio: 'pipe' });
    const executable = join(work, 'bulla');
    copyFileSync(node, executable);
    // It warns of names of sections that Node's executable has not got; what counts is its status.
    const args = [executable, 'NODE_SEA_BLOB', join(work, 'blob'), '--sentinel-fuse', FUSE];
    execFileSync(peer('postject'), args, { stdio: 'pipe' });
    copyFileSync(executable, path);
    chmodSync(path, 0o755);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The scripts of the program, and what was compiled of them for this Node. */
function programsFor(node: string, dist: string): readonly string[] {
  const asked = "['', process.versions.v8, process.platform, process.arch].join('-') + '.cache'";
  const suffix = execFileSync(node, ['-p', asked], { encoding: 'utf8' }).trim();
  const names = readdirSync(dist).sort();
  const caches = names.filter((name) => name.endsWith(suffix));
  if (caches.length === 0)
    throw new Error(`${dist} has nothing compiled for ${node}: build it with NODES=${node}`);
  return [...names.filter((name) => name.endsWith('.js') && name !== 'bulla.js'), ...caches];
}
