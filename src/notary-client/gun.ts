import { BullaError } from '../errors.ts';

const HUB_SERVER = 'https://notary.docker.io';

/**
 * Checks a globally unique name, such as `docker.io/library/alpine`: it becomes part of URLs and paths.
 * @throws BullaError usage
 */
export function checkGun(gun: string): string {
  const isPlain = gun.length <= 255 && /^[A-Za-z0-9._:-]+(?:\/[A-Za-z0-9._:-]+)*$/.test(gun);
  if (isPlain && gun.split('/').every((part) => part !== '.' && part !== '..' && part !== '_trust'))
    return gun;
  throw new BullaError('usage', `${JSON.stringify(gun.slice(0, 200))} is not the name of a repository`, {
    hint: 'write HOST/REPOSITORY, such as docker.io/library/alpine',
  });
}

/**
 * URL of the Notary server of a registry, as docker chooses it: `DOCKER_CONTENT_TRUST_SERVER`, else Docker
 * Hub's for docker.io, else the registry itself.
 * @throws BullaError usage for a server that is not reached by https
 */
export function defaultNotaryServer(
  registry: string,
  env: Readonly<Record<string, string | undefined>>,
): URL {
  const given = env['DOCKER_CONTENT_TRUST_SERVER'];
  if (given !== undefined && given !== '') return notaryServer(given);
  return notaryServer(registry === 'docker.io' ? HUB_SERVER : `https://${registry}`);
}

/**
 * URL of a Notary server as people write it; https unless it says otherwise.
 * @throws BullaError usage
 */
export function notaryServer(text: string): URL {
  const url = URL.canParse(text) && /^https?:/.test(text) ? new URL(text) : undefined;
  const bare =
    url ??
    (URL.canParse(`https://${text}`) && !text.includes('://') ? new URL(`https://${text}`) : undefined);
  if (
    bare !== undefined &&
    bare.username === '' &&
    bare.password === '' &&
    bare.search === '' &&
    bare.hash === ''
  )
    return bare;
  throw new BullaError('usage', `${JSON.stringify(text.slice(0, 200))} is not the URL of a Notary server`, {
    hint: 'write https://notary.example.com; credentials come from bulla login or docker login',
  });
}
