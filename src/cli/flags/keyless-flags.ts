import { resolve } from 'node:path';
import type { Command } from 'commander';
import { BullaError } from '../../errors.ts';
import type { HttpPool } from '../../http/pool.ts';
import type { KeylessTrust } from '../../policy/signers.ts';
import type { IdentityRule } from '../../sigstore/fulcio-identity.ts';
import { tufUrlOf } from '../../sigstore-client/tuf-url.ts';
import type { Context } from '../shell/context.ts';
import { collect } from './values.ts';

/** Flags that say whose keyless signatures are trusted. */
export interface KeylessFlags {
  readonly certificateIdentity?: readonly string[];
  readonly certificateIdentityRegexp?: readonly string[];
  readonly certificateOidcIssuer?: string;
  readonly certificateOidcIssuerRegexp?: string;
  readonly trustedRoot?: string;
}

/** Adds the flags of {@link KeylessFlags}, but for `--certificate-identity`, which certificates of a CA have as well. */
export function addKeylessOptions(command: Command): Command {
  return command
    .option(
      '--certificate-identity-regexp <expression>',
      'the same, by a regular expression that matches the whole identity; repeatable',
      collect,
    )
    .option(
      '--certificate-oidc-issuer <url>',
      'accept keyless signatures by an identity (email address or URI) that this issuer vouched for',
    )
    .option('--certificate-oidc-issuer-regexp <expression>', 'the same, by a regular expression')
    .option(
      '--trusted-root <place>',
      'trusted root of the Sigstore instance: FILE, or tuf+https://… (default: the public-good instance, as shipped)',
    );
}

/** Whether the command line trusts keyless signatures. */
export function asksForKeyless(flags: KeylessFlags): boolean {
  const { certificateIdentityRegexp, certificateOidcIssuer, certificateOidcIssuerRegexp, trustedRoot } =
    flags;
  return [certificateIdentityRegexp, certificateOidcIssuer, certificateOidcIssuerRegexp, trustedRoot].some(
    (flag) => flag !== undefined,
  );
}

/** An identity of a certificate that a CA of `--ca` issued, not one that Fulcio did. */
export function isSubject(identity: string): boolean {
  return identity.trim() === '*' || identity.trimStart().startsWith('x509.subject:');
}

/**
 * Whose keyless signatures the flags trust; undefined where they ask for none.
 * @throws BullaError usage where identity or issuer is missing, or an expression is not one; not-found,
 *   content-invalid, certificate-invalid, key-invalid for the trusted root
 */
export async function keylessOf(context: Context, flags: KeylessFlags): Promise<KeylessTrust | undefined> {
  if (!asksForKeyless(flags)) return undefined;
  const issuer = onlyIssuer(flags);
  const subjects = [
    ...(flags.certificateIdentity ?? []).filter((identity) => !isSubject(identity)),
    ...(flags.certificateIdentityRegexp ?? []).map((text) =>
      expression(text, '--certificate-identity-regexp'),
    ),
  ];
  if (subjects.length === 0) {
    throw new BullaError('usage', 'keyless signatures need an identity', {
      hint: 'add --certificate-identity with the email address or URI that must have signed',
    });
  }
  const identities: IdentityRule[] = subjects.map((subject) => ({ subject, issuer }));
  return { identities, root: await trustedRootOf(context, flags.trustedRoot) };
}

function onlyIssuer(flags: KeylessFlags): string | RegExp {
  const { certificateOidcIssuer: exact, certificateOidcIssuerRegexp: pattern } = flags;
  if ((exact === undefined) === (pattern === undefined)) {
    throw new BullaError('usage', 'keyless signatures need one issuer', {
      hint: 'add either --certificate-oidc-issuer or --certificate-oidc-issuer-regexp',
    });
  }
  return exact ?? expression(pattern ?? '', '--certificate-oidc-issuer-regexp');
}

function expression(text: string, flag: string): RegExp {
  try {
    return new RegExp(text, 'u');
  } catch (cause) {
    throw new BullaError('usage', `${flag} ${JSON.stringify(text)} is not a regular expression`, {
      cause,
      hint: 'write an expression as JavaScript has them; it must match the whole value',
    });
  }
}

/**
 * A trusted root from a file or a TUF repository (`tuf+https://…`), or that of the public-good instance.
 * @param place paths are relative to `directory`
 * @throws BullaError not-found, content-invalid; as `sigstoreTarget`
 */
export async function trustedRootOf(
  context: Context,
  place: string | undefined,
  directory: string = context.io.cwd,
): Promise<KeylessTrust['root']> {
  const { parseTrustedRoot } = await import('../../sigstore/trusted-root.ts');
  if (place === undefined) {
    const { PUBLIC_GOOD_ROOT } = await import('../../sigstore/public-good-root.ts');
    return parseTrustedRoot(Buffer.from(PUBLIC_GOOD_ROOT), "Sigstore's public-good trusted root");
  }
  const url = tufUrlOf(place);
  if (url !== undefined) return parseTrustedRoot(await tufTarget(context, url, 'trusted_root.json'), place);
  const { readPublicFile } = await import('../../keystore/read.ts');
  return parseTrustedRoot(await readPublicFile(resolve(directory, place)), place);
}

/** A file of a Sigstore instance's TUF repository. @throws BullaError as `sigstoreTarget` */
export async function tufTarget(context: Context, url: URL, name: string): Promise<Uint8Array> {
  const { shippedTufRoot, sigstoreTarget } = await import('../../sigstore-client/tuf-targets.ts');
  const initialRoot = await shippedTufRoot(url);
  const { io, settings, directories, output, signal } = context;
  const pool = async (): Promise<HttpPool> => {
    const { HttpPool } = await import('../../http/pool.ts');
    const { http } = await (await context.connections()).reach(url.host);
    const opened = new HttpPool({ ...http, preconnected: undefined });
    context.defer(() => opened.close());
    return opened;
  };
  return await sigstoreTarget(
    {
      ...{ url, signal, now: io.now(), stateDirectory: directories.state },
      ...(initialRoot !== undefined && { initialRoot }),
      ...(!settings.offline && { pool }),
      onWarning: (line) => output.warn(line),
    },
    name,
  );
}
