import type { Command } from 'commander';
import { collect } from './values.ts';

const SPEC = 'NAME of the key store, PATH, or URI; repeatable';

/** Adds the flags that say which keys a new collection has, and for how long they sign. */
export function addInitKeyOptions(command: Command): Command {
  return command
    .option('--root-key <key>', `key of root and targets: ${SPEC}`, collect)
    .option(
      '--publisher-key <key>',
      `key of names: ${SPEC}; public keys are handed the role in a staged change`,
      collect,
    )
    .option('--names-key <key>', 'the same as --publisher-key', collect)
    .option('--online-key <key>', `key of snapshot and timestamp, public or private: ${SPEC}`, collect)
    .option('--threshold <role=n>', 'how many keys of root or names must sign together; repeatable', collect)
    .option('--expires <role=duration>', 'lifetime of the files of a role; repeatable', collect);
}
