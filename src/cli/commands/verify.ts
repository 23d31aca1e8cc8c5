import type { Command } from 'commander';
import type { Demands, VerifyPorts } from '../../actions/verify/verify.ts';
import { BullaError } from '../../errors.ts';
import { parseReference, type Reference } from '../../oci/reference.ts';
import { isByPolicy } from '../flags/policy-flags.ts';
import { givenReferences, imagePathOption, listOption, manifestOption } from '../flags/reference-list.ts';
import {
  addNotaryVerifyOptions,
  addVerifyOptions,
  checkNotaryFlags,
  demandsOf,
  type VerifyCommandFlags as Flags,
  notaryAuthority,
  notaryDemandsOf,
  verifyPorts,
} from '../flags/verify-flags.ts';
import type { Cli, Context } from '../shell/context.ts';
import { yieldToEventLoop } from '../shell/yield.ts';
import type { ManifestFlags } from './verify/manifests.ts';

export function register(program: Command, cli: Cli): void {
  addNotaryVerifyOptions(addVerifyOptions(program.command('verify')))
    .summary('verify the name and the signatures of an image, and print its digest')
    .description(
      'Prints REPOSITORY@DIGEST, and nothing else on standard output, if verification succeeds: run that, not the tag.\n' +
        'If a trust collection is pinned, was seen before, or is requested (--signer, --root, …), the tag must be signed in it, and the digest is the signed one; with --key or --ca, detached signatures are required as well.\n' +
        'With --notary the tag is looked up as docker does it, in targets/releases and then in targets, from a root that is trusted through --root-key-id, --root, --root-ca, --notary-root-key or bulla pin --notary.\n' +
        'Otherwise detached signatures decide: by --key and --ca, or by the default key of the key store. Without any of these, verification fails.\n' +
        'Several references are verified in one go: a line for each, and the exit status of the worst failure.',
    )
    .argument('[reference...]', 'images, by tag or digest')
    .addOption(listOption())
    .addOption(manifestOption())
    .addOption(imagePathOption())
    .option('--write', 'with --k8s: put the verified digests into the files, if all images pass')
    .option('--policy <file>', 'decide by a policy file; no other flag says what is demanded then')
    .option('--trust-policy <file>', 'decide by a trustpolicy.json of Notation, as --policy does')
    .option(
      '--trust-store <directory>',
      'with --trust-policy: its trust stores (default: truststore/x509 beside the file)',
    )
    .action(async (texts: readonly string[], flags: Flags & Partial<ManifestFlags>, command: Command) => {
      const context = await cli.open(command);
      const { k8s, imagePath, write } = flags;
      if (k8s !== undefined) {
        const { verifyManifests } = await import('./verify/manifests.ts');
        const given =
          texts.length === 0 && flags.from === undefined
            ? []
            : await givenReferences(context, texts, flags.from);
        return await verifyManifests(context, given, { ...flags, k8s });
      }
      if (imagePath !== undefined || write === true)
        throw new BullaError('usage', '--image-path and --write go with --k8s', { hint: 'add --k8s FILE' });
      const [text, ...others] = await givenReferences(context, texts, flags.from);
      if (others.length > 0 || flags.from !== undefined) {
        const { verifyAll } = await import('./verify/many.ts');
        return await verifyAll(context, [text, ...others], flags);
      }
      if (isByPolicy(flags)) {
        const { printByPolicy } = await import('./policy/by-policy.ts');
        return await printByPolicy(context, text, flags);
      }
      checkNotaryFlags(flags);
      const { notary } = flags;
      const { reference, demands, ports } = await (notary === undefined
        ? prepare(context, text, flags)
        : prepareForNotary(context, text, { ...flags, notary }));
      await yieldToEventLoop();
      const [{ verify }, { remarksOn, verdictOn, verifiedJson }] = await Promise.all([
        import('../../actions/verify/verify.ts'),
        import('../render/verified-text.ts'),
      ]);
      const verified = await verify({ text, reference }, demands, ports);
      const { output, directories } = context;
      for (const [level, line] of remarksOn(verified, text, directories.state)) output[level](line);
      output.verdict(verdictOn(verified, context.io.now()));
      output.result(verified.runnable, verifiedJson(verified));
    });
}

interface Prepared {
  readonly reference: Reference;
  readonly demands: Demands;
  readonly ports: VerifyPorts;
}

/** While what is asked for first is on its way, the code that judges it is loaded: a third of the time is saved. */
async function prepare(context: Context, text: string, flags: Flags): Promise<Prepared> {
  const image = await context.openImage(text);
  const { reference } = image;
  const { prefetchHead, prefetchManifest, untilFailure } = await import('./verify/prefetch.ts');
  const signal = untilFailure(context);
  const source = prefetchManifest(image, flags.drift !== false, signal);
  await yieldToEventLoop();
  const demands = await demandsOf(context, flags);
  const ports = await verifyPorts(context, flags, async () => source);
  if (demands.name === false) return { reference, demands, ports };
  const { isNameDemanded } = await import('../../actions/verify/verify.ts');
  const place = { at: demands.at, isDemanded: isNameDemanded(demands) };
  return { reference, demands, ports: await prefetchHead(context, reference, place, ports, signal) };
}

async function prepareForNotary(
  context: Context,
  text: string,
  flags: Flags & { readonly notary: string },
): Promise<Prepared> {
  const { notaryRepository, notaryPort } = await import('../flags/notary-flags.ts');
  const reference = notaryRepository(parseReference(text));
  const notary = await notaryPort(context, reference, { ...flags, ...notaryAuthority(flags) });
  const ports = await verifyPorts(context, flags, () => context.openSource(reference));
  return { reference, demands: notaryDemandsOf(context, flags), ports: { ...ports, notary } };
}
