import { BULLA } from '../peers.ts';
import type { Ground } from './ground.ts';
import type { Member } from './swarm.ts';

/** How somebody signs a name. */
export interface SigningOptions {
  /** By which host the registry is reached, if not by that of the ground's name. */
  readonly host?: string;
  /** Without the online key: the change is staged, and waits for whoever has it. */
  readonly isStaged?: boolean;
}

/** Signs the name of a tag. */
export function signMember(
  ground: Ground,
  tag: string,
  env: NodeJS.ProcessEnv,
  { host, isStaged = false }: SigningOptions = {},
): Member {
  const name = host === undefined ? ground.name : ground.name.replace(/^[^/]+/, host);
  const where = [`${name}:${tag}`, '--collection', ground.name];
  const args = ['sign', '--name-only', '--wait', '120s', '--key', ground.key('publisher'), ...where];
  // --key is one key; that of the settings counts as well.
  return bullaMember(tag, args, { ...env, ...(!isStaged && { BULLA_KEY: ground.key('online') }) });
}

/** Takes up what is staged, with the online key alone. */
export function resignMember(ground: Ground, env: NodeJS.ProcessEnv): Member {
  return bullaMember('re-signer', ['resign', ground.name, '--key', ground.key('online')], env);
}

/** Verifies the name of a tag. */
export function verifyMember(ground: Ground, tag: string, env: NodeJS.ProcessEnv, name: string): Member {
  return bullaMember(name, ['verify', `${ground.name}:${tag}`], env);
}

function bullaMember(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Member {
  return { name, file: process.execPath, args: [BULLA, ...args], env };
}
