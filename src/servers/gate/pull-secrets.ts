import { createHash, randomBytes } from 'node:crypto';
import { isJsonObject, type JsonObject, parseJsonObject } from '../../encoding/json.ts';
import { isBullaError, messageOf } from '../../errors.ts';
import type { RegistryReference } from '../../oci/reference.ts';
import { type AuthFile, credentialsIn } from '../../registry/auth-file.ts';
import type { CredentialsProvider } from '../../registry/credentials.ts';

/** Credentials of a namespace. */
export interface PullCredentials {
  /** Equal for equal secrets, and tells nothing about them. */
  readonly key: string;
  readonly provider: CredentialsProvider;
}

export interface PullSecretPorts {
  /** An object of the cluster; undefined where there is none. */
  readonly get: (path: string) => Promise<JsonObject | undefined>;
  readonly monotonic: () => number;
  readonly problem: (message: string) => void;
}

const KEPT_MS = 30_000;
const MAX_KEPT = 500;
const MAX_SECRET_BYTES = 64 * 1024;
/** Names come from reviews, and reviews from everyone who reaches the port. */
const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

/** Reads the pull secrets of namespaces, with the rights that the gate's service account has there. */
export class PullSecrets {
  private readonly ports: PullSecretPorts;
  private readonly kept = new Map<
    string,
    { readonly at: number; readonly file: Promise<AuthFile | undefined> }
  >();
  private readonly salt = randomBytes(32);

  constructor(ports: PullSecretPorts) {
    this.ports = ports;
  }

  /** The credentials that these secrets have for an image; undefined where they have none, or cannot be read. */
  async find(
    namespace: string,
    names: readonly string[],
    { registry, repository }: RegistryReference,
  ): Promise<PullCredentials | undefined> {
    if (!NAME.test(namespace)) return undefined;
    const read = await Promise.all(
      names.filter((name) => NAME.test(name)).map((name) => this.file(namespace, name)),
    );
    const files = read.filter((file) => file !== undefined);
    const provider: CredentialsProvider = async (host, path) => {
      for (const file of files) {
        const found = credentialsIn(file, host, path);
        if (found !== undefined) return found;
      }
      return undefined;
    };
    try {
      if ((await provider(registry, repository)) === undefined) return undefined;
    } catch (error) {
      this.ports.problem(messageOf(error));
      return undefined;
    }
    const sum = createHash('sha256').update(this.salt);
    for (const { json } of files) sum.update(JSON.stringify(json)).update('\n');
    return { key: sum.digest('base64'), provider };
  }

  private file(namespace: string, name: string): Promise<AuthFile | undefined> {
    const key = `${namespace}/${name}`;
    const now = this.ports.monotonic();
    const known = this.kept.get(key);
    if (known !== undefined && now - known.at < KEPT_MS) return known.file;
    const file = this.read(namespace, name);
    this.kept.delete(key);
    this.kept.set(key, { at: now, file });
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= MAX_KEPT) break;
      this.kept.delete(oldest);
    }
    return file;
  }

  private async read(namespace: string, name: string): Promise<AuthFile | undefined> {
    const path = `the pull secret ${namespace}/${name}`;
    try {
      const secret = await this.ports.get(`/api/v1/namespaces/${namespace}/secrets/${name}`);
      const data = secret?.['data'];
      if (!isJsonObject(data)) return undefined;
      const [current, old] = [data['.dockerconfigjson'], data['.dockercfg']];
      const text = current ?? old;
      if (typeof text !== 'string') return undefined;
      const json = parseJsonObject(Buffer.from(text, 'base64'), {
        what: path,
        maxBytes: MAX_SECRET_BYTES,
        floats: true,
      });
      return { path, json: current === undefined ? { auths: json } : json };
    } catch (error) {
      // What is not valid may hold a password: only the code is told then.
      this.ports.problem(
        isBullaError(error, 'content-invalid')
          ? `${path} is not a valid credential file`
          : `${path}: ${messageOf(error)}`,
      );
      return undefined;
    }
  }
}
