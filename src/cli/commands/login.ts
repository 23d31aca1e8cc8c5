import type { Command } from 'commander';
import { BullaError } from '../../errors.ts';
import { canonicalHost } from '../../oci/host.ts';
import type { Cli, Context } from '../shell/context.ts';

export function register(program: Command, cli: Cli): void {
  program
    .command('login')
    .summary('store the credentials of a registry, in the files of docker and podman')
    .description(
      'Tests a user name and a password, or token, on a registry and stores them: in the configured credential ' +
        'helper, or else in the file (mode 0600) that docker, podman, oras and others also read.',
    )
    .argument('<registry>', 'host, with port if needed')
    .option(
      '--identity-token-stdin',
      'read an identity token from standard input, instead of name and password',
    )
    .action(async (text: string, flags: { readonly identityTokenStdin?: true }, command: Command) => {
      const context = await cli.open(command);
      const registry = checkHost(text);
      const connections = await context.connections();
      const access = connections.access(registry);
      const { login } = await import('../../registry/login.ts');
      const credentials =
        flags.identityTokenStdin === true
          ? ({ kind: 'identity', token: await connections.standardInput() } as const)
          : ({
              kind: 'basic',
              ...((access.passwordStdin ? await connections.given(access) : undefined) ??
                (await ask(context, registry))),
            } as const);
      const { storedIn, verified } = await login(registry, credentials, {
        ...connections.credentialFiles(access),
        client: await connections.reach(registry),
        signal: context.signal,
      });
      if (!verified)
        context.output.warn(`${registry} requires no login: the credentials were stored, but not tested`);
      context.output.info(`Logged in to ${registry}; the credentials are in ${storedIn}`);
      if (context.settings.json) context.output.result([], { registry, storedIn, verified });
    });
}

/** A host in its canonical spelling. @throws BullaError usage */
export function checkHost(text: string): string {
  const registry = canonicalHost(text);
  if (registry !== undefined) return registry;
  throw new BullaError('usage', `${JSON.stringify(text)} is not a registry`, {
    hint: 'give the host, with the port if needed: registry.example.com:5000',
  });
}

async function ask(
  context: Context,
  registry: string,
): Promise<{ readonly username: string; readonly password: string }> {
  const { openTerminal, promptLine, promptSecret } = await import('../shell/prompt.ts');
  const given = (await context.connections()).access(registry).username;
  const terminal = openTerminal(context.io);
  if (terminal === undefined) {
    throw new BullaError('usage', `no terminal to prompt for the password of ${registry}`, {
      hint: 'give --username NAME, and the password on a terminal or by --password-stdin',
    });
  }
  try {
    const username = given ?? (await promptLine(`User name at ${registry}: `, terminal)).trim();
    if (username === '') {
      throw new BullaError('usage', 'the user name is empty', {
        hint: 'nothing was stored; run the command again',
      });
    }
    const password = Buffer.from(
      await promptSecret(`Password of ${username} at ${registry}: `, terminal),
    ).toString('utf8');
    if (password !== '') return { username, password };
  } finally {
    terminal.close();
  }
  throw new BullaError('usage', 'the password is empty', {
    hint: 'nothing was stored; run the command again',
  });
}
