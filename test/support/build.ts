import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';

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

await build({
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
  legalComments: 'none',
  define: { BULLA_VERSION: JSON.stringify(JSON.parse(readFileSync('package.json', 'utf8')).version) },
  // CommonJS packages in the bundle ask for Node's own modules by require().
  banner: {
    js: '#!/usr/bin/env node\nimport{createRequire as __bullaRequire}from"node:module";const require=__bullaRequire(import.meta.url);',
  },
  plugins: [oneLanguage],
  logLevel: 'warning',
});
chmodSync('dist/bulla.js', 0o755);

execFileSync('node_modules/.bin/tsc', ['-p', 'src/tsconfig.lib.json'], { stdio: 'inherit' });
for (const path of publishedFiles()) {
  if (!existsSync(path)) throw new Error(`package.json promises ${path}, which the build did not make`);
}
process.stdout.write(`dist/bulla.js ${Math.round(statSync('dist/bulla.js').size / 1024)} KiB\n`);

/** Every file that package.json's `exports` and `bin` name. */
function publishedFiles(): string[] {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, unknown>;
  const leaves = (value: unknown): string[] =>
    typeof value === 'string' ? [value] : Object.values(value ?? {}).flatMap(leaves);
  return [...leaves(manifest['exports']), ...leaves(manifest['bin'])];
}
