import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { cacheName, SCRIPTS } from '../../src/cli/start/compiled.ts';
import { makeCodeCache } from './code-cache.ts';
import { makeManualPage } from './manual-page.ts';
import { bundleProgram } from './program-parts.ts';

/**
 * Builds what is published: `dist/bulla.js`, the command, which starts the scripts of its program (`SCRIPTS` of
 * src/cli/start/compiled.ts, the first is `program.js`) with what V8 makes of each (`program-….cache`, …), and `dist/lib`,
 * the library as ES modules with their types. `npm run build` and `make build`.
 */
const root = new URL('../..', import.meta.url).pathname;
process.chdir(root);
rmSync('dist', { recursive: true, force: true });

/** zod brings its messages in fifty languages and uses one: the others would be half of the bundle. */
const oneLanguage: Plugin = {
  name: 'one-language',
  setup: (build) => {
    build.onLoad({ filter: /zod[/\\]v4[/\\]locales[/\\]index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
      resolveDir: join(root, 'node_modules/zod/v4/locales'),
    }));
  },
};

/**
 * Of undici, what src/http uses: it takes the parts it always needs by themselves, and the index for the
 * sake of a proxy only, which is much slower to load. HTTP/2 is never asked for, nor forms to send.
 */
const onlyDispatchers: Plugin = {
  name: 'only-dispatchers',
  setup: (build) => {
    build.onResolve({ filter: /^undici$/ }, () => ({ path: 'undici', namespace: 'dispatchers' }));
    build.onLoad({ filter: /.*/, namespace: 'dispatchers' }, () => ({
      contents: `
        import api from 'undici/lib/api/index.js';
        import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
        import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js';
        Object.assign(Dispatcher.prototype, api);
        export { ProxyAgent };`,
      resolveDir: root,
    }));
    build.onLoad({ filter: /undici.lib.(dispatcher.client-h2|web.fetch.body)\.js$/ }, ({ path }) => ({
      contents: `module.exports = () => { throw new Error('${basename(path)} is not in the bundle'); };`,
    }));
  },
};

/** commander can start programs as subcommands, which bulla has none of; node's part for it is slow to load. */
const noPrograms: Plugin = {
  name: 'no-programs',
  setup: (build) => {
    build.onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
      /commander[/\\]lib[/\\]/.test(importer) ? { path: 'none', namespace: 'programs' } : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: 'programs' }, () => ({ contents: 'module.exports = {};' }));
  },
};

const COMMAND: BuildOptions = {
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node20.19',
  // Node runs it sooner than an ES module, and only of a script does V8 say what it has compiled.
  format: 'cjs',
  // A script has no import(); modules that are imported so run when they are first asked for.
  supported: { 'dynamic-import': false },
  // It is read as Latin-1, which is faster.
  charset: 'ascii',
  // Licences are collected in one file, below.
  legalComments: 'none',
  define: { BULLA_VERSION: JSON.stringify(JSON.parse(readFileSync('package.json', 'utf8')).version) },
  plugins: [oneLanguage, onlyDispatchers, noPrograms],
  logLevel: 'warning',
};
const entry: BuildOptions = { entryPoints: ['src/cli/start/main.ts'], outfile: 'dist/bulla.js' };
await build({ ...COMMAND, ...entry, banner: { js: '#!/usr/bin/env node' } });
const bundled = await bundleProgram(COMMAND, 'src/cli/start/program.ts', 'dist');
chmodSync('dist/bulla.js', 0o755);
writeFileSync('dist/package.json', '{ "type": "commonjs" }\n');
writeFileSync('dist/THIRD-PARTY-LICENSES.txt', licences(bundled.keys()));
// A package that is published is compiled for others, too: their executables are in NODES, as in PATH.
const others = (process.env['NODES'] ?? '').split(delimiter).filter((path) => path !== '');
await makeCodeCache('dist', [process.execPath, ...others]);

execFileSync('node_modules/.bin/tsc', ['-p', 'src/tsconfig.lib.json'], { stdio: 'inherit' });
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
writeFileSync('dist/lib/package.json', `${JSON.stringify({ type: 'module', version })}\n`);
writeFileSync('dist/bulla.1', await makeManualPage(version));
checkPackage();
for (const name of ['bulla.js', ...SCRIPTS, ...SCRIPTS.map((script) => cacheName(process, script))]) {
  process.stdout.write(`dist/${name} ${Math.ceil(statSync(join('dist', name)).size / 1024)} KiB\n`);
}

/** The licences of the packages that went into the bundle; each asks to go along with its code. */
function licences(bundled: Iterable<string>): string {
  const packages = new Set<string>();
  for (const file of bundled) {
    const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(file)?.[0];
    if (name !== undefined) packages.add(name);
  }
  return [...packages]
    .sort()
    .map((directory) => {
      const { name, version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
      const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
      if (file === undefined) throw new Error(`${name} is in the bundle and brings no licence`);
      return `${name} ${version} (${license})\n\n${readFileSync(join(directory, file), 'utf8').trim()}\n`;
    })
    .join(`\n${'-'.repeat(80)}\n\n`);
}

/** Checks that everything package.json names was made, and that each entry of the library loads. */
function checkPackage(): void {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
    exports: Readonly<Record<string, unknown>>;
    bin: unknown;
    man: unknown;
  };
  const leaves = (value: unknown): string[] =>
    typeof value === 'string' ? [value] : Object.values(value ?? {}).flatMap(leaves);
  for (const path of leaves([manifest.exports, manifest.bin, manifest.man])) {
    if (!existsSync(path)) throw new Error(`package.json promises ${path}, which the build did not make`);
  }
  const entries = Object.keys(manifest.exports).filter((entry) => !entry.endsWith('.json'));
  const imports = entries.map((entry) => `await import(${JSON.stringify(`bulla${entry.slice(1)}`)});`);
  execFileSync(process.execPath, ['--input-type=module', '-e', imports.join('')], { stdio: 'inherit' });
}
