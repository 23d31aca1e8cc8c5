import { basename } from 'node:path';

/** Name of the executable that docker calls for `docker trust`. */
export const PLUGIN = 'docker-trust';
/** What docker asks every plug-in first. */
const METADATA = 'docker-cli-plugin-metadata';

/** Flags of docker itself that take a value, and may stand before the command. */
const WITH_VALUE: ReadonlySet<string> = new Set([
  ...['--config', '-c', '--context', '-H', '--host', '-l', '--log-level'],
  ...['--tlscacert', '--tlscert', '--tlskey'],
]);

/** A command line that docker handed over. */
export interface PluginCall {
  /** What `bulla` is to do. */
  readonly argv: readonly string[];
  /** Docker's configuration directory, where docker was given another. */
  readonly dockerConfig: string | undefined;
}

/** Whether a program was started under the name of docker's plug-in. */
export function isPlugin(program: string | undefined): boolean {
  return program !== undefined && basename(program).replace(/\.(?:exe|cmd|js)$/, '') === PLUGIN;
}

/** What a plug-in answers before anything of it is loaded; undefined for anything else. */
export function metadataFor(argv: readonly string[], version: string): string | undefined {
  if (argv[0] !== METADATA) return undefined;
  const metadata = {
    SchemaVersion: '0.1.0',
    Vendor: 'bulla',
    Version: version,
    ShortDescription: 'Manage trust on Docker images',
  };
  return `${JSON.stringify(metadata)}\n`;
}

/**
 * The command line of `bulla` for one of the plug-in: `[docker's flags] trust sign …`. Docker's own flags say
 * how to reach a daemon, which is never asked; its configuration directory has the credentials.
 */
export function pluginCall(argv: readonly string[]): PluginCall {
  const rest = [...argv];
  let dockerConfig: string | undefined;
  while (rest[0]?.startsWith('-') === true && !isForUs(rest[0])) {
    const flag = rest.shift() as string;
    const [name = '', value] = flag.split(/=(.*)/s, 2);
    const given = value ?? (WITH_VALUE.has(name) ? rest.shift() : undefined);
    if (name === '--config') dockerConfig = given;
  }
  // `docker help trust sign` comes as it was typed.
  if (rest[0] === 'help' && rest[1] === 'trust') rest.splice(1, 1);
  if (rest[0] === 'trust') rest.shift();
  return { argv: [PLUGIN, ...rest], dockerConfig };
}

function isForUs(word: string): boolean {
  return word === '--help' || word === '-h';
}
