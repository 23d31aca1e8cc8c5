import type { Command } from 'commander';
import { signImage } from '../../actions/sign.ts';
import { isDigest } from '../../oci/digest.ts';
import { formatRepository } from '../../oci/reference.ts';
import type { Cli } from '../context.ts';
import { addSignOptions, describeSigned, type SignFlags, signedJson, signOptionsOf } from '../signing.ts';

export function register(program: Command, cli: Cli): void {
  addSignOptions(program.command('sign'))
    .summary('sign an image')
    .description(
      'Attaches a detached signature to an image. With a certificate chain it is a Notation signature, which notation verifies; with a bare key it is a Sigstore bundle, which cosign verifies.\n' +
        'A tag is resolved once; what is signed is the digest, which is printed.',
    )
    .argument('<reference>', 'image, by tag or digest')
    .action(async (text: string, flags: SignFlags, command: Command) => {
      const context = await cli.open(command);
      const options = await signOptionsOf(context, text, flags);
      const { source, reference, version } = await context.openImage(text, { write: true });
      const digest = isDigest(version) ? version : undefined;
      const result = await signImage(source, { tag: reference.tag, digest }, options);
      const name = `${formatRepository(reference)}@${result.image.digest}`;
      for (const signed of result.signatures)
        context.output.info(describeSigned(signed, options.signer.keyId));
      context.output.result(name, {
        reference: name,
        digest: result.image.digest,
        tag: reference.tag ?? null,
        key: options.signer.keyId,
        expires: options.expiry?.toISOString() ?? null,
        signatures: signedJson(result.signatures),
      });
    });
}
