import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, type Metafile, type Plugin } from 'esbuild';

/**
 * Builds what is published: `dist/bulla.js`, the command with its chunks, and `dist/lib`, the library as
 * ES modules with their types. `npm run build` and `make build`.
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

const { metafile } = await build({
  entryPoints: { bulla: 'src/cli/main.ts' },
  outdir: 'dist',
  bundle: true,
  // One file would be parsed whole at each start; in chunks, a command loads what it uses.
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  minify: true,
  platform: 'node',
  target: 'node20.19',
  format: 'esm',
  // Licences are collected in one file, below.
  legalComments: 'none',
  metafile: true,
  define: { BULLA_VERSION: JSON.stringify(JSON.parse(readFileSync('package.json', 'utf8')).version) },
  // CommonJS packages in the bundle ask for Node's own modules by require().
  banner: {
    js: '#!/usr/bin/env node\nimport{createRequire as __bullaRequire}from"node:module";const require=__bullaRequire(import.meta.url);',
  },
  plugins: [oneLanguage, onlyDispatchers, noPrograms],
  logLevel: 'warning',
});
chmodSync('dist/bulla.js', 0o755);
writeFileSync('dist/THIRD-PARTY-LICENSES.txt', licences(metafile));

execFileSync('node_modules/.bin/tsc', ['-p', 'src/tsconfig.lib.json'], { stdio: 'inherit' });
checkPackage();
const chunks = Object.entries(metafile.outputs).map(([name, { bytes }]) => [name, bytes] as const);
const kib = (bytes: number): number => Math.ceil(bytes / 1024);
const all = chunks.reduce((sum, [, bytes]) => sum + bytes, 0);
process.stdout.write(
  `dist/bulla.js ${kib(statSync('dist/bulla.js').size)} KiB, with its chunks ${kib(all)} KiB\n`,
);

/** The licences of the packages that went into the bundle; each asks to go along with its code. */
function licences(bundled: Metafile): string {
  const packages = new Set<string>();
  for (const file of Object.keys(bundled.inputs)) {
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
  };
  const leaves = (value: unknown): string[] =>
    typeof value === 'string' ? [value] : Object.values(value ?? {}).flatMap(leaves);
  for (const path of leaves([manifest.exports, manifest.bin])) {
    if (!existsSync(path)) throw new Error(`package.json promises ${path}, which the build did not make`);
  }
  const entries = Object.keys(manifest.exports).filter((entry) => !entry.endsWith('.json'));
  const imports = entries.map((entry) => `await import(${JSON.stringify(`bulla${entry.slice(1)}`)});`);
  execFileSync(process.execPath, ['--input-type=module', '-e', imports.join('')], { stdio: 'inherit' });
}
