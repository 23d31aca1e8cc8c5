import type { BullaError } from '../errors.ts';
import type { Descriptor } from './descriptor.ts';
import type { Digest } from './digest.ts';
import type { ManifestContent } from './manifest.ts';
import type { Tag } from './reference.ts';
import type { CallOptions } from './target.ts';

/**
 * Ports for looking at what a registry can do (`bulla check`). They report what was seen, whatever it is; what
 * follows from it is decided by who asks. What they learn is kept as the registry's dialect.
 */
export interface RegistryProbes {
  /** Host and port, as a reference names them. */
  readonly registry: string;
  /** @throws BullaError registry-unreachable, timeout, and what logging in fails with */
  api(options?: CallOptions): Promise<ApiFacts>;
  /** Opens a connection of its own, over which nothing is sent. */
  certificate(options?: CallOptions): Promise<CertificateFacts>;
  /** Looks for credentials, and never shows them. */
  credentials(repository: string | undefined): Promise<CredentialFacts>;
  /** The first repositories that the registry lists. @throws BullaError where it lists none to us */
  repositories(options?: CallOptions): Promise<readonly string[]>;
  repository(name: string): RepositoryProbes;
  /** Waits, in milliseconds. */
  pause(ms: number, options?: CallOptions): Promise<void>;
}

export interface RepositoryProbes {
  /** For messages: `registry.example.com/team/app`. */
  readonly name: string;
  /** The name without the host. */
  readonly repository: string;
  listing(options?: CallOptions): Promise<ListingFacts>;
  /** What HEAD and a conditional GET say of an image. @throws BullaError what GET fails with */
  manifest(version: Tag | Digest, options?: CallOptions): Promise<ManifestFacts>;
  /** Where referrers are listed. @throws BullaError where asking fails */
  referrers(subject: Digest, options?: CallOptions): Promise<ReferrersFacts>;
  /** Digest that a tag names; undefined where there is no such tag. Asked by GET, once. */
  digestAt(reference: Tag | Digest, options?: CallOptions): Promise<Digest | undefined>;
  /** @throws BullaError what storing a blob fails with */
  pushBlob(descriptor: Descriptor, bytes: Uint8Array, options?: CallOptions): Promise<void>;
  /** One PUT, without any of what a push does about refusals. */
  put(content: ManifestContent, reference: Tag | Digest, options?: PutOptions): Promise<PutFacts>;
  /** Adds an entry to the fallback index of a subject. @throws BullaError as publishing a signature does */
  listInFallback(subject: Digest, entry: Descriptor, options?: CallOptions): Promise<void>;
  mount(
    descriptor: Descriptor,
    from: string,
    options?: CallOptions,
  ): Promise<'mounted' | 'upload' | 'refused'>;
  /** One DELETE. @returns undefined where it was done or nothing is there; else why not */
  remove(
    what: 'manifest' | 'blob',
    reference: Tag | Digest,
    options?: CallOptions,
  ): Promise<BullaError | undefined>;
}

export interface ApiFacts {
  readonly status: number;
  /** What the registry says where it does not answer 200. */
  readonly refusal: BullaError | undefined;
  /** Docker-Distribution-Api-Version. */
  readonly version: string | undefined;
  readonly server: string | undefined;
  /** How it asks for a login. */
  readonly login: 'none' | 'basic' | 'bearer';
  /** The registry's clock minus ours, in seconds; undefined where it tells no time. */
  readonly skewSeconds: number | undefined;
}

export type CertificateFacts =
  | { readonly kind: 'plain' }
  /** A proxy is between: what it tunnels to was not looked at. */
  | { readonly kind: 'proxied' }
  | {
      readonly kind: 'tls';
      readonly protocol: string;
      readonly subject: string;
      readonly issuer: string;
      readonly notBefore: Date;
      readonly notAfter: Date;
      /** Why it is not trusted here; undefined where it is. */
      readonly problem: string | undefined;
    };

export interface CredentialFacts {
  readonly source: 'command-line' | 'file' | 'helper' | 'none';
  /** A path, or `docker-credential-NAME`. */
  readonly where: string | undefined;
  readonly form: 'password' | 'token' | undefined;
  /** Why files or helpers could not be asked. */
  readonly problem: BullaError | undefined;
}

export interface ListingFacts {
  readonly refusal: BullaError | undefined;
  /** All tags of the first answer. */
  readonly tags: readonly Tag[];
  /** In byte order. */
  readonly sorted: boolean;
  /** What `n=1` gives. */
  readonly limit: 'honoured' | 'ignored' | 'refused' | 'unknown';
  /** Whether an answer that `n` cut has a Link to the next one. */
  readonly link: boolean | undefined;
  /** What `last=` of a tag that exists gives. */
  readonly after: AfterTag;
  /** What `last=` of a tag that does not exist gives. */
  readonly afterAbsent: AfterTag;
}

export type AfterTag = 'after' | 'ignored' | 'empty' | 'unordered' | 'refused' | 'unknown';

export interface ManifestFacts {
  readonly descriptor: Descriptor;
  readonly head: {
    readonly status: number;
    readonly digest: Agreement;
    readonly length: Agreement;
    readonly type: Agreement;
  };
  /** ETag of the answer to GET. */
  readonly etag: boolean;
  /** Whether If-None-Match with its digest is answered 304. */
  readonly notModified: boolean;
  /** Docker-Content-Digest of the answer to GET. */
  readonly digest: Agreement;
}

/** Whether a header is there and says what GET gave. */
export type Agreement = 'same' | 'other' | 'missing';

export interface ReferrersFacts {
  /** Where they are listed; undefined where neither the API nor the repository tells. */
  readonly by: 'api' | 'fallback' | undefined;
  /** The registry takes the fallback tag for the subject itself. */
  readonly isSubject: boolean;
  readonly digests: readonly Digest[];
}

export interface PutOptions extends CallOptions {
  /** `if-match` with another digest; `if-none-match`: only if there is no such tag. */
  readonly condition?: 'if-match' | 'if-none-match' | undefined;
}

export interface PutFacts {
  readonly status: number;
  /** OCI-Subject. */
  readonly subject: string | undefined;
  readonly refusal: BullaError | undefined;
}
