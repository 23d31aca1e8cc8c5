import type { IncomingMessage, ServerResponse } from 'node:http';

/** Who may do what, and how they say who they are. */
export type AuthBehaviour =
  | { readonly mode: 'basic'; readonly users: Readonly<Record<string, string>> }
  | {
      readonly mode: 'token';
      /** Passwords by user; a user may do all. */
      readonly users?: Readonly<Record<string, string>>;
      /** Identity (refresh) tokens that are taken in a form POST. */
      readonly identityTokens?: readonly string[];
      /** Actions that are granted without a login; none if left out. */
      readonly anonymous?: readonly string[];
      /** What the challenge names; the registry's own token endpoint if left out. */
      readonly realm?: string;
      /** Seconds; left out of the answer if undefined. */
      readonly expiresIn?: number;
      readonly field?: 'token' | 'access_token';
      /** Grant no more than this, whatever is asked for; counted down at each token. */
      weakTokens?: number;
      /** A new identity token with each answer to an old one. */
      readonly rotate?: string;
    };

/**
 * What a registry makes of `tags/list`: a status that refuses, or the names of a page and the query of the next.
 * @param tags all of them, in the order of their first push
 */
export type TagDialect = (
  query: URLSearchParams,
  tags: readonly string[],
) =>
  | { readonly refuse: number; readonly code?: string }
  | { readonly tags: readonly string[] | null; readonly next?: string }
  | undefined;

/** How a registry behaves; may be changed while it runs. What is left out is what a good one does. */
export interface RegistryBehaviour {
  /** GET /v2/…/referrers/… is there. True if left out. */
  referrersApi?: boolean;
  /** OCI-Subject in the answer to a PUT; as referrersApi if left out, so `true` without an API is a lie. */
  ociSubject?: boolean;
  /** Entries in a page of the referrers list. */
  referrersPage?: number;
  /** Honour ?artifactType= and say so. */
  filters?: boolean;
  /** Manifests stored from now on are not listed: counted down. */
  forgetReferrers?: number;
  auth?: AuthBehaviour;
  /** ETag on manifests, and 304. True if left out. */
  etag?: boolean;
  /** If-Match and If-None-Match on PUT count: no real registry does that. */
  conditionalPut?: boolean;
  /** DELETE works: for all, for manifests only, or not at all. */
  deletion?: 'all' | 'manifests' | 'none';
  /** Tags that match can't be overwritten. */
  immutableTags?: RegExp;
  /** How it says so; as Amazon ECR does if left out. */
  immutableAnswer?: { readonly status: number; readonly body: string; readonly type?: string };
  /** A manifest whose parts are missing is refused, as distribution does. True if left out. */
  checkParts?: boolean;
  /** Largest page of tags; all at once if left out. */
  tagsPage?: number;
  /** Answers a list of tags in its own way; undefined: as usual. */
  tagDialect?: TagDialect;
  /** Tags in the order of pushing, whole, whatever `n` and `last` say. */
  unsortedTags?: boolean;
  /** GETs of a tag that still show what was before the last write: counted down. */
  staleReads?: number;
  /** Tag `sha256-<hex>` means that digest, as GitLab has it. */
  gitlabTags?: boolean;
  /** Mounting works. True if left out. */
  mounts?: boolean;
  /** OCI-Chunk-Min-Length. */
  chunkMinLength?: number;
  /** Any body is answered 413 above this size, by a page, as a proxy does. */
  maxBody?: number;
  /** PUT of a whole blob is answered 413 above this size. */
  maxWholeBlob?: number;
  /** Ranges of blobs. True if left out. */
  ranges?: boolean;
  /** Warning headers of every answer. */
  warnings?: readonly string[];
  /** Called after a tag was written and before the PUT is answered; rivals write here. */
  afterTagPut?: ((repository: string, tag: string) => void) | undefined;
}

/** What goes wrong with a request that matches. */
export type FaultAction =
  /** Answer so rather than properly. */
  | {
      readonly status: number;
      readonly body?: string | Uint8Array;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Answer properly, but later. */
  | { readonly delayMs: number }
  /** Cut the connection before any answer. */
  | { readonly reset: true }
  /** Do what was asked, and cut the connection rather than say so. */
  | { readonly loseAnswer: true }
  /** Cut the connection after so many bytes of the body. */
  | { readonly cutAfter: number }
  /** Change one byte of the body. */
  | { readonly corrupt: true }
  /** Add or replace headers of the proper answer. */
  | { readonly addHeaders: Readonly<Record<string, string>> }
  /** Change the head of the proper answer. */
  | {
      readonly reply: (
        status: number,
        headers: Record<string, string | number>,
      ) => { status?: number; headers?: Record<string, string | number> };
    }
  /** A body that never ends. */
  | { readonly endless: true }
  /** Anything else. */
  | { readonly answer: (request: IncomingMessage, response: ServerResponse) => void };

export interface Fault {
  readonly method?: string;
  /** Matched against the path with its query. */
  readonly path?: RegExp;
  /** How often it strikes; once if left out. */
  readonly times?: number;
  /** Matching requests that pass before. */
  readonly after?: number;
  readonly action: FaultAction;
}

/** A request as it arrived, and how it was answered. */
export interface LoggedRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Of the answer; 0 until there is one, or where the connection was cut. */
  status: number;
  /** Of the request's body. */
  bytes: number;
}
