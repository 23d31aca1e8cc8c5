import { isLoopbackHost } from '../http/address.ts';

/** Host under which docker.io serves its API. */
const DOCKER_HUB_API = 'registry-1.docker.io';

/**
 * Base URL of a registry's API.
 * @param registry host and optional port, as a reference names it
 * @param plainHttp http rather than https; left out, only for hosts that are this machine
 */
export function endpointOf(registry: string, plainHttp?: boolean): URL {
  const host = registry === 'docker.io' ? DOCKER_HUB_API : registry;
  const plain = plainHttp ?? isOnThisMachine(host);
  return new URL(`${plain ? 'http' : 'https'}://${host}/`);
}

/** Whether a registry is on this machine, so that it may speak plain HTTP without a setting that says so. */
export function isOnThisMachine(registry: string): boolean {
  return isLoopbackHost(registry.replace(/:\d+$/, ''));
}
