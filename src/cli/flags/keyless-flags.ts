import type { Command } from 'commander';
import { BullaError } from '../../errors.ts';
import type { KeylessTrust } from '../../policy/signers.ts';
import type { IdentityRule } from '../../sigstore/fulcio-identity.ts';
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
      '--trusted-root <file>',
      'trusted root of the Sigstore instance (default: the public-good instance, as shipped)',
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
  const path = flags.trustedRoot === undefined ? undefined : context.path(flags.trustedRoot);
  return { identities, root: await trustedRootOf(path) };
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

/** A trusted root from a file, or that of the public-good instance. @throws BullaError not-found, content-invalid */
export async function trustedRootOf(path: string | undefined): Promise<KeylessTrust['root']> {
  const { parseTrustedRoot } = await import('../../sigstore/trusted-root.ts');
  if (path === undefined) {
    const { PUBLIC_GOOD_ROOT } = await import('../../sigstore/public-good-root.ts');
    return parseTrustedRoot(Buffer.from(PUBLIC_GOOD_ROOT), "Sigstore's public-good trusted root");
  }
  const { readPublicFile } = await import('../../keystore/read.ts');
  return parseTrustedRoot(await readPublicFile(path), path);
}
