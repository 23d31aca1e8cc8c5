import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Io } from '../../../src/cli/shell/io.ts';
import { Output, printable } from '../../../src/cli/shell/output.ts';
import { bulla, temporaryDirectory } from '../../support/cli.ts';

describe('the command line', () => {
  it('shows its commands and flags with --help, and ends well', async () => {
    const { code, stdout, stderr } = await bulla(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('completion');
    expect(stdout).toContain('--plain-http');
  });

  it.each([
    ['an unknown command', ['sing'], /unknown command/],
    ['an unknown flag', ['completion', 'bash', '--shiny'], /unknown option '--shiny'/],
    ['a missing argument', ['completion'], /missing required argument/],
    ['an argument too many', ['completion', 'bash', 'zsh'], /too many arguments/],
    ['an unknown shell', ['completion', 'csh'], /csh/],
    ['an unknown output format', ['completion', 'bash', '-o', 'xml'], /xml/],
    ['a concurrency of 0', ['completion', 'bash', '--concurrency', '0'], /concurrency/],
    ['a bad timeout', ['completion', 'bash', '--timeout', 'soon'], /duration/],
  ])('refuses %s with exit status 2 and a hint', async (_, argv, message) => {
    const { code, stdout, stderr } = await bulla(argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/\[usage\]\nhint: /);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  it.each([
    [['help'], 'bulla [options] [command]'],
    [['help', 'help'], 'bulla [options] [command]'],
    [['help', 'sign'], 'bulla sign [options] [reference...]'],
    [['help', 'cp'], 'bulla copy|cp [options] <source...> <destination>'],
    [['help', 'key', 'generate'], 'bulla key generate [options] [name]'],
    [['help', 'serve', 'registry', 'gc'], 'bulla serve registry gc [options]'],
    [['help', 'signature'], 'bulla signature [options] [command]'],
    [['key', 'help'], 'bulla key|keys [options] [command]'],
    [['key', 'help', 'generate'], 'bulla key generate [options] [name]'],
  ])('shows the help of %j', async (argv, usage) => {
    // As the process has it until the command has ended.
    process.exitCode = 13;
    onTestFinished(() => {
      process.exitCode = undefined;
    });
    const { code, stdout, stderr } = await bulla(argv);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(usage);
  });

  it.each([[[]], [['key']]])('lists the commands where none follows %j', async (argv) => {
    const { code, stdout, stderr } = await bulla(argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: bulla.*Commands:.*error: a command is missing \[usage\]\nhint: /s);
  });

  it('tells that there is no help of what is no command', async () => {
    expect((await bulla(['help', 'veryfy'])).stderr).toContain('there is no command veryfy [usage]');
    const { code, stderr } = await bulla(['help', 'key', 'genrate']);
    expect(code).toBe(2);
    expect(stderr).toContain('there is no command genrate [usage]');
  });

  it('names the help that helps', async () => {
    expect((await bulla(['verify'])).stderr).toContain('give references as arguments');
    expect((await bulla(['status'])).stderr).toContain('bulla help status');
    expect((await bulla(['cp', 'a'])).stderr).toContain('bulla copy SOURCE DESTINATION');
    expect((await bulla(['key', 'rm'])).stderr).toContain('bulla help key rm');
    expect((await bulla(['serve', 'registry', 'gc', '--old'])).stderr).toContain(
      'bulla help serve registry gc',
    );
    expect((await bulla(['pin', 'example.com/app', '--old'])).stderr).toContain('bulla help pin shows');
  });

  it('calls what --timeout ended a timeout, not an interruption', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    onTestFinished(() => {
      silent.closeAllConnections();
      silent.close();
    });
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const late = await bulla(['ls', `127.0.0.1:${port}/app`, '--timeout', '50ms', '-o', 'json']);
    expect(late.json()).toMatchObject({ code: 'timeout', message: expect.stringContaining('0.05 s') });
    expect(late.code).toBe(3);
  });

  it('tells a failure in JSON on stdout, also one of the command line itself', async () => {
    const failure = await bulla(['sing', '-o', 'json']);
    expect(failure.code).toBe(2);
    expect(failure.stderr).toBe('');
    expect(failure.json()).toMatchObject({ ok: false, code: 'usage', hint: expect.any(String) });
  });
});

describe('settings', () => {
  it('come from the flag, then the environment, then the file', async () => {
    const home = await temporaryDirectory();
    await mkdir(join(home, 'c'));
    await writeFile(join(home, 'c', 'config.yaml'), 'output: json\n');
    const env = { BULLA_HOME: join(home, 'c') };
    expect((await bulla(['completion', 'bash'], { env })).stdout).toMatch(/^\{/);
    expect((await bulla(['completion', 'bash'], { env: { ...env, BULLA_OUTPUT: 'text' } })).stdout).toMatch(
      /^#/,
    );
    const both = await bulla(['completion', 'bash', '-o', 'json'], { env: { ...env, BULLA_OUTPUT: 'text' } });
    expect(both.stdout).toMatch(/^\{/);
  });

  it.each([
    ['an unknown setting', 'shiny: true\n'],
    ['a setting of another type', 'plainHttp: maybe\n'],
    ['no YAML', '{{{\n'],
    ['a key twice', 'quiet: true\nquiet: false\n'],
    ['an alias bomb', 'a: &a [x, x]\nb: *a\n'],
  ])('refuse a file with %s', async (_, text) => {
    const home = await temporaryDirectory();
    await mkdir(join(home, 'c'));
    await writeFile(join(home, 'c', 'config.yaml'), text);
    const { code, stderr } = await bulla(['completion', 'bash'], { env: { BULLA_HOME: join(home, 'c') } });
    expect(code).toBe(2);
    expect(stderr).toContain('[config-invalid]');
  });

  it('refuse a flag of the environment that is neither true nor false', async () => {
    expect((await bulla(['completion', 'bash'], { env: { BULLA_QUIET: 'perhaps' } })).stderr).toContain(
      'BULLA_QUIET',
    );
  });
});

describe('printable', () => {
  it('shows control characters instead of sending them to the terminal', () => {
    expect(printable('a\u001b[2Jb\u202ec\td')).toBe('a\\u001b[2Jb\\u202ec\td');
    expect(printable('\u009b2J\u200f\ufeff\u{e0041}')).toBe('\\u009b2J\\u200f\\ufeff\\udb40\\udc41');
  });

  it('makes one line of what would look like another line of ours', () => {
    expect(printable('spam\nsigned by CN=release')).toBe('spam\\u000asigned by CN=release');
  });
});

describe('JSON', () => {
  it('holds no control characters, and what it held all the same', () => {
    let text = '';
    const sink = { write: (piece: string) => (text += piece) };
    const io = { stdout: sink, stderr: sink } as unknown as Io;
    const result = { annotation: '\u009b2J\u202e\nb', ok: 'false' };
    new Output(io, { json: true, quiet: false, verbose: false }).result([], result);
    expect(text).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    expect(JSON.parse(text)).toEqual({ ok: true, annotation: result.annotation });
  });
});
