import type { Command } from 'commander';
import type { Cli } from '../shell/context.ts';

/** A file of `commands/`: adds its command to the program. */
export interface CommandModule {
  register(program: Command, cli: Cli): void;
}

/** A command that can be asked for, without having been loaded. */
export interface CommandEntry {
  readonly name: string;
  readonly alias?: string;
  load(): Promise<CommandModule>;
}

/** Every command; groups.ts says in which order `bulla --help` lists them. Only the one that is asked for is loaded. */
export const COMMANDS: readonly CommandEntry[] = [
  { name: 'init', load: () => import('../commands/init.ts') },
  { name: 'sign', load: () => import('../commands/sign.ts') },
  { name: 'attest', load: () => import('../commands/attest.ts') },
  { name: 'verify', load: () => import('../commands/verify.ts') },
  { name: 'revoke', load: () => import('../commands/revoke.ts') },
  { name: 'copy', alias: 'cp', load: () => import('../commands/copy.ts') },
  { name: 'sync', load: () => import('../commands/sync.ts') },
  { name: 'push', load: () => import('../commands/push.ts') },
  { name: 'pull', load: () => import('../commands/pull.ts') },
  { name: 'ls', load: () => import('../commands/ls.ts') },
  { name: 'tree', load: () => import('../commands/tree.ts') },
  { name: 'inspect', load: () => import('../commands/inspect.ts') },
  { name: 'status', load: () => import('../commands/status.ts') },
  { name: 'log', load: () => import('../commands/log.ts') },
  { name: 'report', load: () => import('../commands/report.ts') },
  { name: 'import', load: () => import('../commands/import.ts') },
  { name: 'export', load: () => import('../commands/export.ts') },
  { name: 'signer', load: () => import('../commands/signer.ts') },
  { name: 'rotate', load: () => import('../commands/rotate.ts') },
  { name: 'pending', load: () => import('../commands/pending.ts') },
  { name: 'ceremony', load: () => import('../commands/ceremony.ts') },
  { name: 'approve', load: () => import('../commands/approve.ts') },
  { name: 'withdraw', load: () => import('../commands/withdraw.ts') },
  { name: 'recover', load: () => import('../commands/recover.ts') },
  { name: 'signature', load: () => import('../commands/signature.ts') },
  { name: 'key', alias: 'keys', load: () => import('../commands/key.ts') },
  { name: 'gate', load: () => import('../commands/gate.ts') },
  { name: 'policy', load: () => import('../commands/policy.ts') },
  { name: 'pin', load: () => import('../commands/pin.ts') },
  { name: 'tuf', load: () => import('../commands/tuf.ts') },
  { name: 'check', load: () => import('../commands/check.ts') },
  { name: 'login', load: () => import('../commands/login.ts') },
  { name: 'logout', load: () => import('../commands/logout.ts') },
  { name: 'docker-trust', load: () => import('../commands/docker-trust.ts') },
  { name: 'resign', load: () => import('../commands/resign.ts') },
  { name: 'serve', load: () => import('../commands/serve.ts') },
  { name: 'completion', load: () => import('../commands/completion.ts') },
  { name: '__complete', load: () => import('../commands/complete.ts') },
];
