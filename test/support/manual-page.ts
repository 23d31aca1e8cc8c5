import type { Command } from 'commander';
import { Cli } from '../../src/cli/shell/context.ts';
import { type HelpContent, helpContent, isHidden } from '../../src/cli/shell/help.ts';
import type { Io } from '../../src/cli/shell/io.ts';
import { buildProgram } from '../../src/cli/start/run.ts';

/** The manual page of this version of the command, made from its help. */
export async function makeManualPage(version: string): Promise<string> {
  const io = { env: {} } as unknown as Io;
  return manualPage(await buildProgram(['help'], new Cli(io)), version);
}

/** A manual page in man(7) with all commands, their options and examples. */
export function manualPage(program: Command, version: string): string {
  const { description, lists, examples } = helpContent(program);
  const general = lists.at(-1);
  return `${[
    `.TH BULLA 1 "" "bulla ${roff(version)}" "User Commands"`,
    '.nh',
    '.SH NAME',
    'bulla \\- sign, copy and verify images in any OCI registry',
    '.SH SYNOPSIS',
    '.B bulla',
    '.I COMMAND',
    '[options]',
    '.SH DESCRIPTION',
    roff(description),
    'Signatures and trust metadata are stored in the same registry as the image. Results are printed on standard output,',
    'everything else on standard error; with',
    '.B \\-o json',
    'standard output holds one JSON object.',
    ...exampleLines(examples),
    '.SH COMMANDS',
    ...program.commands.flatMap((command) => commandLines(command)),
    '.SH OPTIONS OF EVERY COMMAND',
    ...(general?.rows ?? []).flatMap(rowLines),
    '.SH EXIT STATUS',
    ...STATUSES.flatMap(([status, meaning]) => rowLines([status, meaning])),
    '.SH ENVIRONMENT',
    ...ENVIRONMENT.flatMap(rowLines),
    '.SH SEE ALSO',
    '.BR cosign (1),',
    '.BR notation (1),',
    '.BR skopeo (1).',
    'The directory spec/ of the package describes formats, configuration and guarantees.',
  ].join('\n')}\n`;
}

function commandLines(command: Command): readonly string[] {
  if (isHidden(command)) return [];
  const content = helpContent(command);
  return [
    `.SS ${roff(content.path)}`,
    `.B ${roff(content.usage)}`,
    ...content.description.split('\n').flatMap((line) => ['.PP', roff(line.trim())]),
    ...ownRows(content).flatMap(rowLines),
    ...exampleLines(content.examples),
    ...command.commands.flatMap(commandLines),
  ];
}

/** Arguments and options of a command; its commands have sections of their own. */
function ownRows({ lists }: HelpContent): HelpContent['lists'][number]['rows'] {
  return lists
    .filter(({ title }) => /^(Arguments|Options|Options about .*)$/.test(title))
    .flatMap(({ rows }) => rows);
}

function rowLines([term, description]: readonly [string, string]): readonly string[] {
  return ['.TP', `.B ${roff(term)}`, roff(description)];
}

function exampleLines(examples: HelpContent['examples']): readonly string[] {
  return examples.flatMap(([what, line]) => [
    '.PP',
    `${roff(what)}:`,
    '.PP',
    '.RS 4',
    '.EX',
    roff(line),
    '.EE',
    '.RE',
  ]);
}

/** Text as roff takes it: no escapes, hyphens that can be copied, and no line that is a request. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\\\')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replace(/^\./gm, '\\&.')
    .replace(
      /[^\n -~]/gu,
      (character) => `\\[u${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`,
    );
}

const STATUSES: readonly (readonly [string, string])[] = [
  ['0', 'verified, or done'],
  ['2', 'the command line, the configuration or a key is invalid'],
  ['3', 'the registry could not be reached; nothing is known about the image'],
  ['4', 'credentials are missing or insufficient'],
  ['5', 'a local file cannot be read or written'],
  ['10', 'unsigned, or signed only in formats that cannot be verified'],
  ['11', 'image, file or key not found'],
  ['12', 'not signed by the required keys or identities, or not by enough of them'],
  ['13', 'a certificate or signature is invalid, expired or revoked'],
  ['20, 21, 22', 'trust metadata is expired, rolled back, or invalid'],
  ['23', 'the name is not signed, or no longer signed'],
  ['24, 25', 'the digest differs from the signed one; no trust root is configured'],
  ['30, 31', 'conflict; a change is staged and waits for other keys'],
  ['40', 'bytes do not match their digest, size or format'],
  ['130', 'interrupted'],
];

const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ['BULLA_KEY', 'the key to sign with, as for --key'],
  ['BULLA_PASSPHRASE', 'the passphrase of keys'],
  ['BULLA_HOME', 'directory of keys, pins, state and cache, in place of the XDG directories'],
  ['BULLA_CONCURRENCY, BULLA_OUTPUT, …', 'any option of every command, in capital letters after BULLA_'],
  ['DOCKER_CONFIG, REGISTRY_AUTH_FILE', 'where credentials of docker and podman are'],
  ['NO_COLOR, FORCE_COLOR', 'no colours, or colours also where the output is not a terminal'],
];
