import type { Command } from 'commander';

/** Flags that say which part of an index is meant. */
export interface PlatformFlags {
  readonly platform?: string;
  readonly eachPlatform?: true;
}

export function addPlatformOptions(command: Command): Command {
  return command
    .option('--platform <os/arch>', 'of an index: the image for this platform; a signed index speaks for it')
    .option('--each-platform', "also accept an unsigned index where every platform's image is signed");
}
