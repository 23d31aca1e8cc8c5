import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isBullaError } from '../../errors.ts';
import { readDockerTls } from '../../notary-client/docker-tls.ts';
import { canonicalHost } from '../../oci/host.ts';
import type { Io } from './io.ts';

/** Certificates that other tools keep for a registry: authorities, and a client certificate with its key. */
export type KeptTls = Awaited<ReturnType<typeof readDockerTls>>;

/**
 * What docker and podman keep for a registry in `certs.d/HOST[:PORT]`: `*.crt` are authorities, `NAME.cert` and
 * `NAME.key` the client certificate. A person's own directories come before the system's, podman's before docker's;
 * authorities and client certificate each come from the first that has them.
 * @param host in its canonical spelling, with its port if it has one
 * @param tell gets what is read, and what is left out because it cannot be read
 */
export async function readCertsD(
  host: string,
  { env, home }: Pick<Io, 'env' | 'home'>,
  tell: (line: string) => void,
): Promise<KeptTls> {
  const config = env['XDG_CONFIG_HOME'] || join(home, '.config');
  const places = [
    join(config, 'containers/certs.d'),
    join(config, 'docker/certs.d'),
    join(env['DOCKER_CONFIG'] || join(home, '.docker'), 'certs.d'),
    '/etc/containers/certs.d',
    '/etc/docker/certs.d',
  ];
  const found: { -readonly [Member in keyof KeptTls]: KeptTls[Member] } = {};
  for (const directory of await directoriesOf(host, new Set(places))) {
    let kept: KeptTls;
    try {
      kept = await readDockerTls(directory);
    } catch (error) {
      if (!isBullaError(error)) throw error;
      tell(`${directory} is left out: ${error.message}`);
      continue;
    }
    if (kept.ca !== undefined && !kept.ca.includes('-----BEGIN CERTIFICATE-----')) {
      tell(`${directory} is left out: its *.crt hold no PEM certificate`);
      continue;
    }
    if (found.ca === undefined && kept.ca !== undefined) {
      found.ca = kept.ca;
      tell(`${host}: authorities of ${directory} are trusted`);
    }
    if (found.cert === undefined && kept.cert !== undefined) {
      found.cert = kept.cert;
      found.key = kept.key;
      tell(`${host}: the client certificate of ${directory} is used`);
    }
  }
  return found;
}

/** Directories of a host, in the order in which they count: its canonical spelling first, then others of the same host. */
async function directoriesOf(host: string, places: Iterable<string>): Promise<readonly string[]> {
  const found: string[] = [];
  for (const place of places) {
    const names = await readdir(place).catch((): string[] => []);
    const others = names.filter((name) => name !== host && canonicalHost(name) === host).sort();
    for (const name of [host, ...others]) found.push(join(place, name));
  }
  return found;
}
