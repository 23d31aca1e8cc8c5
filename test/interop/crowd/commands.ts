import { BULLA } from '../peers.ts';
import type { Ground } from './ground.ts';
import type { Member } from './swarm.ts';

/** Signs the name of a tag. @param host by which the registry is reached, if not by that of the ground's name */
export function signMember(ground: Ground, tag: string, env: NodeJS.ProcessEnv, host?: string): Member {
  const name = host === undefined ? ground.name : ground.name.replace(/^[^/]+/, host);
  const where = [`${name}:${tag}`, '--collection', ground.name];
  const args = ['sign', '--name-only', '--key', ground.key('publisher'), ...where];
  // --key is one key; that of the settings counts as well.
  return bullaMember(tag, args, { ...env, BULLA_KEY: ground.key('online') });
}

/** Verifies the name of a tag. */
export function verifyMember(ground: Ground, tag: string, env: NodeJS.ProcessEnv, name: string): Member {
  return bullaMember(name, ['verify', `${ground.name}:${tag}`], env);
}

function bullaMember(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Member {
  return { name, file: process.execPath, args: [BULLA, ...args], env };
}
