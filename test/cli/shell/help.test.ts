import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { Cli } from '../../../src/cli/shell/context.ts';
import { examplesOf } from '../../../src/cli/shell/examples.ts';
import { helpContent, helpText, isHidden } from '../../../src/cli/shell/help.ts';
import type { Io } from '../../../src/cli/shell/io.ts';
import { COMMANDS } from '../../../src/cli/start/commands.ts';
import { groupOf } from '../../../src/cli/start/groups.ts';
import { buildProgram } from '../../../src/cli/start/run.ts';
import { bulla } from '../../support/cli.ts';
import { manualPage } from '../../support/manual-page.ts';

const io = { stdout: { write: () => true }, stderr: { write: () => true }, env: {} } as unknown as Io;
const program = await buildProgram(['help'], new Cli(io));

function* all(command: Command): Generator<Command> {
  if (isHidden(command)) return;
  yield command;
  for (const child of command.commands) yield* all(child);
}

const commands = [...all(program)].map((command) => [helpContent(command).path, command] as const);

/** Words of a shell: quotes, and what stands in `"$(…)"`. */
function words(line: string): readonly string[] {
  const inner = /"\$\((.*)\)"/.exec(line)?.[1] ?? line;
  const own = inner.slice(inner.indexOf('bulla ')).split(/ [|>] /, 1)[0] ?? '';
  return [...own.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)]
    .map(([, double, single, plain]) => double ?? single ?? plain ?? '')
    .slice(1);
}

/** The command that commander would call, without calling it. @throws what commander says about a wrong line */
async function parse(argv: readonly string[]): Promise<string> {
  let called = '';
  const fresh = await buildProgram(argv, new Cli(io));
  for (const command of all(fresh))
    if (
      command.commands.length === 0 ||
      command.registeredArguments.length > 0 ||
      helpContent(command).path === 'bulla serve registry'
    )
      command.action(() => {
        called = helpContent(command).path;
      });
  await fresh.parseAsync([...argv], { from: 'user' });
  return called;
}

describe('the help', () => {
  it.each(commands)(
    'of %s has two examples or more, each of which is a valid line of it',
    async (path, command) => {
      const { examples, description } = helpContent(command);
      expect(description).not.toBe('');
      expect(examples.length).toBeGreaterThanOrEqual(2);
      expect(new Set(examples.map(([, line]) => line)).size).toBe(examples.length);
      for (const [what, line] of examples) {
        expect(what).toMatch(/^\S.*[^.]$/);
        const called = await parse(words(line));
        expect(called === path || called.startsWith(`${path} `), `${line} is ${called}`).toBe(true);
      }
    },
  );

  it.each(commands)(
    'of %s has no line over 80 columns, and describes every option and argument',
    (_, command) => {
      const text = helpText(command);
      expect(text.split('\n').filter((line) => line.length > 80 || line !== line.trimEnd())).toEqual([]);
      for (const { rows } of helpContent(command).lists)
        for (const [term, description] of rows) expect(description, term).not.toBe('');
    },
  );

  it('has no examples of what is no command', async () => {
    const { readFile } = await import('node:fs/promises');
    const text = await readFile(new URL('../../../src/cli/shell/examples.ts', import.meta.url), 'utf8');
    const named = [...text.matchAll(/^\[(.*)\]$/gm)].map(([, path = '']) => `bulla ${path}`.trim());
    expect(named.sort()).toEqual(commands.map(([path]) => path).sort());
    expect(examplesOf('nothing')).toEqual([]);
  });

  it('shows the main work first, and the own options of a command before those of every command', async () => {
    const { stdout } = await bulla(['help']);
    expect(stdout.indexOf('  sign ')).toBeLessThan(stdout.indexOf('  init '));
    expect(stdout.indexOf('  verify ')).toBeLessThan(stdout.indexOf('  tuf '));
    for (const { name } of COMMANDS.filter((one) => !one.name.startsWith('__')))
      expect(groupOf(name), name).not.toBe('Other commands');
    for (const { name } of COMMANDS)
      if (name !== '__complete') expect(stdout).toContain(`\n${groupOf(name)}:\n`);
    const sign = (await bulla(['sign', '--help'])).stdout;
    const order = [
      'Examples:',
      '--annotation',
      'Options about the trust collection:',
      '--root-key-id',
      'Options of every command:',
      '--plain-http',
    ];
    expect(order.map((word) => sign.indexOf(word))).toEqual(
      order.map((word) => sign.indexOf(word)).toSorted((a, b) => a - b),
    );
    expect(order.every((word) => sign.includes(word))).toBe(true);
  });

  it('breaks a long example where it can be pasted', () => {
    const text = helpText(commands.find(([path]) => path === 'bulla serve registry')?.[1] as Command);
    expect(text).toMatch(/--addr 0\.0\.0\.0:443 .*\\\n {4}--/);
  });
});

describe('the manual page', () => {
  const page = manualPage(program, '1.0.0');

  it.each(commands)('names %s and each of its options', (path, command) => {
    const plain = page.replaceAll('\\-', '-').replaceAll('\\&', '');
    if (command.parent !== null) expect(plain).toContain(`.SS ${path}`);
    for (const { flags, hidden } of command.options) if (!hidden) expect(plain).toContain(flags);
    for (const [, line] of helpContent(command).examples)
      expect(plain.replaceAll('\\(aq', "'").replaceAll('\\\\', '\\')).toContain(line);
  });
});
