import type { Command } from 'commander';
import type { Cli } from '../shell/context.ts';
import { checkHost } from './login.ts';

export function register(program: Command, cli: Cli): void {
  program
    .command('logout')
    .summary('remove the credentials of a registry')
    .description('Removes the credentials of a registry from the file or helper that login uses.')
    .argument('<registry>', 'host, with port if needed')
    .action(async (text: string, _flags: unknown, command: Command) => {
      const context = await cli.open(command);
      const registry = checkHost(text);
      const connections = await context.connections();
      const { logout } = await import('../../registry/login.ts');
      const removed = await logout(registry, connections.credentialFiles(connections.access(registry)));
      context.output.info(removed ? `Logged out of ${registry}` : `There were no credentials of ${registry}`);
      if (context.settings.json) context.output.result([], { registry, removed });
    });
}
