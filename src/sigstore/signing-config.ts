import { parseJsonObject } from '../encoding/json.ts';
import { BullaError } from '../errors.ts';
import { Fields, malformed } from './fields.ts';
import { isWithin, type Validity } from './trusted-root.ts';

/** Media type of a signing config (Sigstore's protobuf-specs, `sigstore_trustroot.proto`). */
const MEDIA_TYPE = 'application/vnd.dev.sigstore.signingconfig.v0.2+json';
/** Largest signing config that is read, in bytes; the public-good one has 1 KB. */
export const MAX_SIGNING_CONFIG_BYTES: number = 256 * 1024;
const MAX_SERVICES = 64;

/** Versions of the services' interfaces that bulla speaks, best first. */
const VERSIONS = { ca: [1], log: [2, 1], timestamp: [1] } as const;

/** One service of a Sigstore instance. */
export interface SigstoreService {
  readonly url: URL;
  readonly version: number;
}

/** Which services a signature is sent to (spec/sigstore.md, "Signing"). */
export interface SigningServices {
  /** Fulcio; undefined where the instance has none: then only keys can sign. */
  readonly ca: SigstoreService | undefined;
  readonly logs: readonly SigstoreService[];
  readonly timestampAuthorities: readonly SigstoreService[];
}

interface Listed extends SigstoreService {
  readonly validFor: Validity;
  readonly operator: string;
}

/**
 * Reads a signing config and selects the services for a signature that is made now: of each operator the newest one
 * with the highest version that bulla speaks, and of the operators as many as the config asks for.
 * @throws BullaError content-invalid; config-invalid where more operators are asked for than are listed
 */
export function parseSigningConfig(bytes: Uint8Array, now: Date, where: string): SigningServices {
  const config = new Fields(
    parseJsonObject(bytes, { what: where, maxBytes: MAX_SIGNING_CONFIG_BYTES }),
    where,
  );
  const type = config.text('mediaType');
  if (type !== MEDIA_TYPE) throw malformed(where, `its media type is ${JSON.stringify(type)}`);
  return {
    ca: select(readServices(config, 'caUrls'), VERSIONS.ca, now)[0],
    logs: chosen(config, 'rekorTlog', VERSIONS.log, now),
    timestampAuthorities: chosen(config, 'tsa', VERSIONS.timestamp, now),
  };
}

function chosen(
  config: Fields,
  kind: 'rekorTlog' | 'tsa',
  versions: readonly number[],
  now: Date,
): readonly SigstoreService[] {
  const listed = readServices(config, `${kind}Urls`);
  if (listed.length === 0) return [];
  const rule = config.message(`${kind}Config`);
  const usable = select(listed, versions, now);
  const selector = rule.text('selector');
  const count = selector === 'ALL' ? usable.length : selector === 'EXACT' ? rule.integer('count') : 1;
  if (!['ALL', 'ANY', 'EXACT'].includes(selector) || count < 1)
    throw malformed(rule.where, `its selector is ${JSON.stringify(selector)} with ${count} services`);
  if (count <= usable.length) return usable.slice(0, count);
  throw new BullaError(
    'config-invalid',
    `${config.where} asks for ${count} services in ${kind}Urls, and ${usable.length} can be used now`,
    { hint: 'get the current signing config of the Sigstore instance, or update bulla' },
  );
}

/** One service of each operator: all of one version, the newest first. */
function select(
  listed: readonly Listed[],
  versions: readonly number[],
  now: Date,
): readonly SigstoreService[] {
  const valid = listed
    .filter(({ validFor }) => isWithin(now, validFor))
    .sort((a, b) => b.validFor.start.getTime() - a.validFor.start.getTime());
  for (const version of versions) {
    const operators = new Map<string, Listed>();
    for (const service of valid)
      if (service.version === version && !operators.has(service.operator))
        operators.set(service.operator, service);
    if (operators.size > 0) return [...operators.values()];
  }
  return [];
}

function readServices(config: Fields, name: string): readonly Listed[] {
  return config.messages(name, MAX_SERVICES).map((service) => {
    const text = service.text('url');
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
      throw malformed(service.where, 'its url is not an http or https URL without credentials');
    const validFor = service.message('validFor');
    const start = validFor.time('start');
    return {
      url,
      version: service.integer('majorApiVersion'),
      operator: service.optionalText('operator'),
      validFor: validFor.has('end') ? { start, end: validFor.time('end') } : { start },
    };
  });
}
