import type { Argument, Command, Option } from 'commander';
import { type Example, examplesOf } from './examples.ts';

/** Widest line of a help text. */
const WIDTH = 80;
/** Widest name of a flag or a command that has its description beside it. */
const MAX_TERM = 30;
/** Longest flag with its value that stands in one line of an example. */
const MAX_PAIR = WIDTH - 10;

/** Flags that many commands share about where a trust collection lies and which root keys are trusted. */
const COLLECTION_FLAGS: ReadonlySet<string> = new Set([
  '--at',
  '--collection',
  '--root',
  '--root-key-id',
  '--root-ca',
  '--tofu',
  '--max-staleness',
]);

/** A part of a help text: names with what they mean. */
export interface HelpList {
  readonly title: string;
  readonly rows: readonly (readonly [term: string, description: string])[];
}

/** What the help of a command says, for the terminal and for the manual page. */
export interface HelpContent {
  /** `bulla key generate` */
  readonly path: string;
  readonly usage: string;
  readonly description: string;
  readonly examples: readonly Example[];
  /** Commands, arguments, its own options; those of every command last. */
  readonly lists: readonly HelpList[];
}

/** Everything about a command; what a person is likely to look for first comes first. */
export function helpContent(command: Command): HelpContent {
  const path = pathOf(command);
  const usage = [...pathOf(command.parent), namesOf(command), command.usage()].join(' ');
  const own = command.options.filter(({ hidden }) => !hidden);
  const isGeneral = command.parent === null;
  const isShared = ({ long }: Option): boolean => COLLECTION_FLAGS.has(long ?? '');
  // A command about the collection itself has few other flags, and they are about nothing else.
  const shared = isGeneral ? [] : own.filter(isShared);
  const general = rootOf(command).options.filter(
    ({ hidden, long }) => !hidden && (isGeneral || long !== '--version'),
  );
  const lists: readonly HelpList[] = [
    ...commandLists(command),
    { title: 'Arguments', rows: argumentRows(command.registeredArguments) },
    { title: 'Options', rows: isGeneral ? [] : optionRows(own.filter((option) => !isShared(option))) },
    { title: 'Options about the trust collection', rows: optionRows(shared) },
    { title: 'Options of every command', rows: [...optionRows(general), ['-h, --help', 'show this help']] },
  ];
  return {
    path: path.join(' '),
    usage,
    description: command.description() || command.summary(),
    examples: examplesOf(path.slice(1).join(' ')),
    lists: lists.filter(({ rows }) => rows.length > 0),
  };
}

/** The help of a command, no line of which is longer than 80 columns. */
export function helpText(command: Command): string {
  const { usage, description, examples, lists } = helpContent(command);
  const sections = [`Usage: ${usage}`, wrapped(description, WIDTH).join('\n')];
  if (examples.length > 0) sections.push(['Examples:', ...examples.flatMap(exampleLines)].join('\n'));
  const isGrouped = command.commands.some((child) => child.helpGroup() !== '');
  if (isGrouped) sections.push('Commands:');
  for (const list of lists) sections.push([`${list.title}:`, ...listLines(list)].join('\n'));
  if (command.commands.length > 0) {
    const path = pathOf(command).slice(1).join(' ');
    sections.push(`${`bulla help ${path}`.trim()} COMMAND shows options and examples.`);
  }
  return `${sections.join('\n\n')}\n`;
}

/** Subcommands by their groups, in the order of the groups' first members. */
function commandLists(command: Command): readonly HelpList[] {
  const groups = new Map<string, (readonly [string, string])[]>();
  for (const child of command.commands) {
    if (isHidden(child)) continue;
    const group = child.helpGroup() || 'Commands';
    groups.set(group, [...(groups.get(group) ?? []), [namesOf(child), child.summary()]]);
  }
  return [...groups].map(([title, rows]) => ({ title, rows }));
}

/** Whether a command is not for people. */
export function isHidden(command: Command): boolean {
  return command.name().startsWith('__');
}

function argumentRows(all: readonly Argument[]): HelpList['rows'] {
  return all.map((argument) => [argument.name(), argument.description]);
}

function optionRows(options: readonly Option[]): HelpList['rows'] {
  return options.map(({ flags, description }) => [flags, description]);
}

function namesOf(command: Command): string {
  return [command.name(), ...command.aliases()].join('|');
}

function pathOf(command: Command | null): readonly string[] {
  return command === null ? [] : [...pathOf(command.parent), command.name()];
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}

function listLines({ rows }: HelpList): readonly string[] {
  const column = Math.min(MAX_TERM, Math.max(...rows.map(([term]) => term.length))) + 4;
  return rows.flatMap(([term, description]) => {
    const lines = wrapped(description, WIDTH - column).map((line) =>
      `${' '.repeat(column)}${line}`.trimEnd(),
    );
    const isBeside = term.length + 2 <= column - 2 && lines.length > 0;
    if (!isBeside) return [`  ${term}`, ...lines];
    const [first = '', ...rest] = lines;
    return [`  ${term}`.padEnd(column) + first.slice(column), ...rest];
  });
}

/** An example as it can be pasted: a long command line goes on after a backslash, before an argument or a flag. */
function exampleLines([what, line]: Example): readonly string[] {
  const note = wrapped(what, WIDTH - 4).map((part) => `  # ${part}`);
  // A flag stays with its value, and what is in quotes together.
  const pairs = line.match(/--?[\w-]+ (?:"[^"]*"|'[^']*'|[^\s-]\S*)|"[^"]*"|\S+/g) ?? [];
  const parts = pairs.flatMap((part) => (part.length > MAX_PAIR ? part.split(' ') : [part]));
  const lines: string[] = [];
  let current = ' ';
  for (const part of parts) {
    if (current.length + part.length + 3 > WIDTH && current.trim() !== '') {
      lines.push(`${current} \\`);
      current = '   ';
    }
    current = `${current} ${part}`;
  }
  return [...note, ...lines, current];
}

/** Text in lines of so many columns; its own line ends stay, and the indentation of its lines. */
function wrapped(text: string, width: number): readonly string[] {
  return text.split('\n').flatMap((line) => {
    const indent = /^ */.exec(line)?.[0] ?? '';
    const lines: string[] = [];
    let current = '';
    for (const word of line.trim().split(' ')) {
      if (current !== '' && indent.length + current.length + 1 + word.length > width) {
        lines.push(indent + current);
        current = word;
      } else current = current === '' ? word : `${current} ${word}`;
    }
    return [...lines, indent + current];
  });
}
