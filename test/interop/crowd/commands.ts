import { BULLA } from '../peers.ts';
import type { Ground } from './ground.ts';
import type { Member } from './swarm.ts';

/** Signs the name of a tag. */
export function signMember(ground: Ground, tag: string, env: NodeJS.ProcessEnv): Member {
  // --key is one key; that of the configuration counts as well.
  const keys = { BULLA_KEY: ground.key('online') };
  return bullaMember(
    tag,
    ['sign', '--name-only', '--key', ground.key('publisher'), `${ground.name}:${tag}`],
    {
      ...env,
      ...keys,
    },
  );
}

/** Verifies the name of a tag. */
export function verifyMember(ground: Ground, tag: string, env: NodeJS.ProcessEnv, name: string): Member {
  return bullaMember(name, ['verify', `${ground.name}:${tag}`], env);
}

function bullaMember(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Member {
  return { name, file: process.execPath, args: [BULLA, ...args], env };
}
