import { writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type BuildOptions, build, type OnResolveArgs, type Plugin, transform } from 'esbuild';
import { SCRIPTS } from '../../src/cli/start/compiled.ts';

/** Commands that people run now and then, or that run for long. */
const RARE = [
  'approve|check|completion|docker-trust|export|gate|import|init|key|pending|pin|policy|recover|report|resign',
  'rotate|serve|signature|signer|sync|tuf|withdraw',
].join('|');

/**
 * What the scripts behind the first are made of: modules that a command asks for when it needs them, with everything that
 * only they need. A module that the first script needs anyway stays there.
 */
const LATER: ReadonlyMap<string, RegExp> = new Map([
  // What is written in YAML, and what reads it in everyday commands.
  [
    'documents.js',
    /^src\/(?:cli\/(?:shell\/config-schema|commands\/(?:policy\/by-policy|gate\/|verify\/manifests))|policy\/file\/|api\/policy-files)/,
  ],
  [
    'more.js',
    new RegExp(
      [
        `^src/cli/(?:commands/(?:${RARE}|copy/(?:all|as|many))[./]|flags/notary-flags|shell/completion)`,
        '^src/actions/(?:check|copy/versions|docker-trust|export|import-notary|recover|report|sync|verify/notary)',
        '^src/(?:keystore/back-ends/(?!registry)|notary|policy/(?:import|init)|revocation-client|servers/(?!system))',
        // Ed25519 beyond what Node has, ML-DSA, proxies, and processors without SIMD.
        'noble/curves/ed25519|shell/experiments|^dispatchers:|llhttp-wasm',
      ].join('|'),
    ),
  ],
]);

/** Packages whose place in the first script would mean that something of {@link LATER} came to be needed at once. */
const NEVER_FIRST = /node_modules\/(?:yaml|croner|bcryptjs|semver|@noble\/post-quantum)\//;

/** The name by which scripts ask each other for a module. */
const nameOf = (namespace: string, path: string): string =>
  namespace === 'file' ? relative('.', path) : `${namespace}:${path}`;

/**
 * Bundles the program as the scripts of {@link SCRIPTS} (decision 500). Each module is in one of them only, so that there
 * is one of each class and of each value. The first exports `main`, and each exports `give`, which returns the exports of a
 * module by its name. They ask each other by `require('./more.js')`, which src/cli/start/compiled.ts answers.
 * @returns the scripts by the paths of what went into them
 */
export async function bundleProgram(
  options: BuildOptions,
  main: string,
  directory: string,
): Promise<ReadonlyMap<string, string>> {
  // What a script has to give to others is known when those are bundled: they are bundled once to learn it.
  const asked = new Map<string, Set<string>>(SCRIPTS.map((script) => [script, new Set()]));
  await bundleAll(options, main, undefined, asked);
  return bundleAll(options, main, directory, asked);
}

async function bundleAll(
  options: BuildOptions,
  main: string,
  directory: string | undefined,
  asked: ReadonlyMap<string, Set<string>>,
): Promise<ReadonlyMap<string, string>> {
  const home = new Map<string, string>();
  for (const script of SCRIPTS) {
    const { metafile, outputFiles } = await build({
      ...options,
      minify: false,
      minifySyntax: true,
      minifyIdentifiers: true,
      stdin: {
        contents: entryOf(script === SCRIPTS[0] ? main : undefined, asked.get(script)),
        resolveDir: '.',
      },
      write: false,
      metafile: true,
      plugins: [acrossScripts(script, home, asked), ...(options.plugins ?? [])],
    });
    for (const input of Object.keys(metafile.inputs))
      if (!/^(?:elsewhere:|<stdin>)/.test(input)) {
        if (home.has(input)) throw new Error(`${input} is in ${home.get(input)} and in ${script}`);
        if (script === SCRIPTS[0] && NEVER_FIRST.test(input)) throw new Error(`${input} is in ${script}`);
        home.set(input, script);
      }
    if (directory === undefined) continue;
    const { minify = false, target = 'node20.19', charset = 'ascii', legalComments = 'none' } = options;
    const code = withLateExports(outputFiles[0]?.text ?? '');
    const small = await transform(code, { minify, target, charset, legalComments, format: 'cjs' });
    writeFileSync(join(directory, script), small.code);
  }
  return home;
}

/**
 * Has the exports of a module listed when the module is first asked for. esbuild lists them when the script starts, with a
 * function for each: in the first script, they were an eighth of what V8 has to read.
 */
function withLateExports(code: string): string {
  const helper = EXPORT_HELPER.exec(code)?.[1];
  if (helper === undefined) throw new Error('esbuild lists exports in another way than before');
  const lists = new Map(
    [
      ...code.matchAll(
        new RegExp(`^${helper.replaceAll('$', '\\$')}\\((${NAME}), \\{\\n(?: {2}.*\\n)*\\}\\);\\n`, 'gm'),
      ),
    ].map(([list, name = '']) => [name, list]),
  );
  // Beside the uses, a name stands where it is declared and where it is listed.
  const unseen = new Map([...lists.keys()].map((name) => [name, -2]));
  for (const [name] of code.matchAll(new RegExp(`(?<![\\w$.])${NAME}`, 'g')))
    if (unseen.has(name)) unseen.set(name, (unseen.get(name) ?? 0) + 1);
  const givenBy = new Map<string, string>();
  const loadedBy = new Map<string, string>();
  for (const [use, init = '', given, name = ''] of code.matchAll(USE)) {
    if (!lists.has(name)) continue;
    unseen.set(name, (unseen.get(name) ?? 0) - 1);
    (given === undefined ? loadedBy : givenBy).set(name, given === undefined ? init : use);
  }
  let late = code;
  const atStart = new Map<string, string>();
  for (const [name, list] of lists) {
    const use = givenBy.get(name);
    const init = loadedBy.get(name);
    if (unseen.get(name) !== 0) continue;
    late = late.replace(list, '');
    if (init !== undefined) atStart.set(init, list);
    else if (use !== undefined)
      late = late.replace(use, () => use.replace(', ', () => `, ${list.slice(0, -2)}, `));
  }
  const placed = late.replaceAll(
    new RegExp(`(${NAME}) = ${NAME}\\(\\(\\) => \\{\\n`, 'g'),
    (start, init: string) => {
      const list = atStart.get(init) ?? '';
      atStart.delete(init);
      return start + list;
    },
  );
  if (atStart.size > 0) throw new Error(`modules without a start: ${[...atStart.keys()].join()}`);
  return placed;
}

const NAME = '[\\w$]+';
/** What esbuild lists exports with. */
const EXPORT_HELPER =
  /([\w$]+) = \(([\w$]+), ([\w$]+)\) => \{\n\s*for \(var ([\w$]+) in \3\)\n\s*[\w$]+\(\2, \4, \{ get: \3\[\4\], enumerable: !0 \}\);/;
/** A module that is loaded: its exports for this script, or given to another one. */
const USE = /\(([\w$]+)\(\), (?:([\w$]+)\()?([\w$]+)\)/g;

function entryOf(main: string | undefined, given: Iterable<string> = []): string {
  const modules = [...given].sort().map((name) => {
    const [, bare] = /^\w+:(.*)/.exec(name) ?? [];
    return `${JSON.stringify(name)}: () => require(${JSON.stringify(bare ?? `./${name}`)})`;
  });
  const start = main === undefined ? '' : `export { main } from ${JSON.stringify(`./${main}`)};\n`;
  return `${start}const modules = {${modules.join()}};\nconst given = {};\nexport const give = (name) => given[name] ??= modules[name]();\n`;
}

/** Has modules that are in another script asked for there. */
function acrossScripts(
  script: string,
  home: ReadonlyMap<string, string>,
  asked: ReadonlyMap<string, Set<string>>,
): Plugin {
  const later = SCRIPTS.slice(SCRIPTS.indexOf(script as never) + 1);
  const isLazy = ({ kind, path }: OnResolveArgs): boolean =>
    kind === 'dynamic-import' || (kind === 'require-call' && path.includes('llhttp-wasm'));
  const placeOf = (name: string, args: OnResolveArgs): string | undefined => {
    const earlier = home.get(name);
    if (earlier !== undefined) return earlier === script ? undefined : earlier;
    if (!isLazy(args) || args.importer === '<stdin>') return undefined;
    return later.find((one) => LATER.get(one)?.test(name));
  };
  return {
    name: 'across-scripts',
    setup(setup) {
      setup.onResolve({ filter: /.*/ }, async (args) => {
        // Asked by itself, below.
        if (args.pluginData === 'resolving') return undefined;
        if (args.namespace === 'elsewhere') return { path: args.path, external: true };
        const { importer, resolveDir, kind, namespace } = args;
        const found = await setup.resolve(args.path, {
          importer,
          resolveDir,
          kind,
          namespace,
          pluginData: 'resolving',
        });
        if (found.errors.length > 0) return undefined;
        if (found.external) return found;
        const name = nameOf(found.namespace, found.path);
        const place = placeOf(name, args);
        if (place === undefined) return { ...found, pluginData: undefined };
        asked.get(place)?.add(name);
        // Not with its own ending: what is asked for is a CommonJS module, whatever the file is.
        return { path: name.replace(/\.mjs$/, ''), namespace: 'elsewhere', pluginData: { name, place } };
      });
      setup.onLoad({ filter: /.*/, namespace: 'elsewhere' }, ({ pluginData: { name, place } }) => {
        return { contents: `module.exports = require("./${place}").give(${JSON.stringify(name)});` };
      });
    },
  };
}
