import type { Command } from 'commander';
import type { Stamp } from '../../actions/sign/signature.ts';
import { BullaError } from '../../errors.ts';
import type { Witness } from '../../sigstore/witness.ts';
import { tufUrlOf } from '../../sigstore-client/tuf-url.ts';
import type { Context } from '../shell/context.ts';
import { trustedRootOf, tufTarget } from './keyless-flags.ts';
import { collect } from './values.ts';

/** Flags of commands that sign keyless, or have signatures logged. */
export interface SigstoreFlags {
  readonly keyless?: true;
  readonly tlog?: true;
  readonly identityToken?: string;
  readonly signingConfig?: string;
  readonly trustedRoot?: string;
}

/** Flags of commands that have Notation signatures countersigned. */
export interface StampFlags {
  readonly timestampUrl?: string;
  readonly timestampAuthority?: readonly string[];
}

/** Adds the flags of {@link StampFlags} to a command. */
export function addStampOptions(command: Command): Command {
  return command
    .option('--timestamp-url <url>', 'have a Notation signature countersigned by this time-stamp authority')
    .option('--timestamp-authority <file>', 'root certificate of that authority; repeatable', collect);
}

/** Adds the flags of {@link SigstoreFlags} to a command. */
export function addSigstoreOptions(command: Command): Command {
  return command
    .option('--keyless', 'sign with a short-lived certificate for your identity instead of a key')
    .option('--tlog', 'with a key: also enter the signature into a transparency log')
    .option(
      '--identity-token <place>',
      'with --keyless: FILE or env://VARIABLE with the identity token (default: that of GitHub Actions, GitLab or the Kubernetes pod)',
    )
    .option(
      '--signing-config <file>',
      'services of the Sigstore instance (default: the public-good instance, as shipped)',
    )
    .option(
      '--trusted-root <place>',
      'trusted root of the Sigstore instance: FILE, or tuf+https://… (default: the public-good instance, as shipped)',
    );
}

/**
 * The Sigstore instance that signatures are sent to; undefined if the flags ask for none.
 * @throws BullaError usage, not-found, content-invalid, config-invalid; registry-unreachable with --offline
 */
export async function witnessOf(context: Context, flags: SigstoreFlags): Promise<Witness | undefined> {
  const { keyless, tlog, identityToken, signingConfig, trustedRoot } = flags;
  if (keyless === undefined && tlog === undefined) {
    const others = { identityToken, signingConfig, trustedRoot };
    const [given] = Object.entries(others).find(([, value]) => value !== undefined) ?? [];
    if (given === undefined) return undefined;
    const flag = given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new BullaError('usage', `--${flag} needs --keyless or --tlog`, {
      hint: 'a signature with a key alone is sent to no service',
    });
  }
  if (keyless === undefined && identityToken !== undefined) {
    throw new BullaError('usage', '--identity-token needs --keyless', {
      hint: 'with --tlog your key signs: leave the token out',
    });
  }
  if (context.settings.offline) {
    throw new BullaError('registry-unreachable', 'no Sigstore service was asked: --offline opens no socket', {
      hint: 'leave --offline out, or sign with a key and without --tlog',
    });
  }
  const isRepository = trustedRoot !== undefined && tufUrlOf(trustedRoot) !== undefined;
  if (!isRepository && (signingConfig === undefined) !== (trustedRoot === undefined)) {
    throw new BullaError('usage', '--signing-config and --trusted-root belong together', {
      hint: 'give both files of the Sigstore instance, its TUF repository with --trusted-root tuf+https://…, or neither for the public-good instance',
    });
  }
  return await open(context, flags);
}

async function open(context: Context, flags: SigstoreFlags): Promise<Witness> {
  const [{ sigstoreInstance }, { identityToken }, { HttpPool }] = await Promise.all([
    import('../../sigstore-client/instance.ts'),
    import('../../sigstore-client/identity-token.ts'),
    import('../../http/pool.ts'),
  ]);
  const { io, settings } = context;
  const root = await trustedRootOf(context, flags.trustedRoot);
  const services = await servicesOf(context, flags);
  const [host] = services.logs.map(({ url }) => url.host);
  const { http } = await (await context.connections()).reach(host ?? 'localhost');
  const pool = new HttpPool({ ...http, preconnected: undefined });
  context.defer(() => pool.close());
  const places = {
    given: flags.identityToken,
    env: (name: string) => io.env[name],
    path: (path: string) => context.path(path),
  };
  return sigstoreInstance({
    ...{ services, root, pool, now: io.now(), timeoutMs: Math.min(settings.searchTimeout, 60_000) },
    ...(flags.keyless && {
      token: (signal: AbortSignal | undefined) => identityToken(places, { pool }, signal),
    }),
  });
}

/**
 * Has Notation signatures countersigned; undefined if the flags ask for no time stamp.
 * @throws BullaError usage, not-found, certificate-invalid; registry-unreachable with --offline
 */
export async function stampOf(context: Context, flags: StampFlags): Promise<Stamp | undefined> {
  const { timestampUrl, timestampAuthority = [] } = flags;
  if (timestampUrl === undefined && timestampAuthority.length === 0) return undefined;
  if (timestampUrl === undefined || timestampAuthority.length === 0)
    throw new BullaError('usage', '--timestamp-url and --timestamp-authority belong together', {
      hint: 'give the URL of the authority, and its root certificate, by which each stamp is verified',
    });
  const url = URL.canParse(timestampUrl) ? new URL(timestampUrl) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new BullaError('usage', `--timestamp-url is ${JSON.stringify(timestampUrl)}`, {
      hint: 'write http://… or https://…',
    });
  if (context.settings.offline)
    throw new BullaError(
      'registry-unreachable',
      'no time-stamp authority was asked: --offline opens no socket',
      {
        hint: 'leave --offline out, or sign without --timestamp-url',
      },
    );
  const [{ stamping }, { HttpPool }, { readCertificateFile }] = await Promise.all([
    import('../../sigstore-client/time-stamp.ts'),
    import('../../http/pool.ts'),
    import('../../keystore/key-file.ts'),
  ]);
  const { http } = await (await context.connections()).reach(url.host);
  const pool = new HttpPool({ ...http, preconnected: undefined });
  context.defer(() => pool.close());
  const files = await Promise.all(timestampAuthority.map((path) => readCertificateFile(context.path(path))));
  return stamping({ url, authorities: files.flat(), pool });
}

/** Services from a file, from the TUF repository of the trusted root, or of the public-good instance. */
async function servicesOf(context: Context, { signingConfig, trustedRoot }: SigstoreFlags) {
  const { parseSigningConfig } = await import('../../sigstore/signing-config.ts');
  const now = context.io.now();
  if (signingConfig !== undefined) {
    const { readPublicFile } = await import('../../keystore/read.ts');
    return parseSigningConfig(await readPublicFile(context.path(signingConfig)), now, signingConfig);
  }
  if (trustedRoot !== undefined) {
    const url = tufUrlOf(trustedRoot) as URL;
    const name = 'signing_config.v0.2.json';
    return parseSigningConfig(await tufTarget(context, url, name), now, `${name} of ${url.host}`);
  }
  const { PUBLIC_GOOD_SIGNING_CONFIG } = await import('../../sigstore/public-good-signing-config.ts');
  const bytes = Buffer.from(PUBLIC_GOOD_SIGNING_CONFIG);
  return parseSigningConfig(bytes, now, "Sigstore's public-good signing config");
}
