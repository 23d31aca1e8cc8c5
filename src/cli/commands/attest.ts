import { createHash } from 'node:crypto';
import type { Command } from 'commander';
import { addKeyOptions, type KeyFlags } from '../flags/key-flags.ts';
import { addSigstoreOptions, type SigstoreFlags, witnessOf } from '../flags/sigstore-flags.ts';
import type { Cli, Context } from '../shell/context.ts';

interface AttestFlags extends KeyFlags, SigstoreFlags {
  readonly type: string;
  readonly predicate: string;
}

export function register(program: Command, cli: Cli): void {
  addSigstoreOptions(addKeyOptions(program.command('attest')))
    .summary('attach an attestation to an image: provenance, an SBOM, a scan')
    .description(
      'Signs what a file says about an image (an in-toto statement in a Sigstore bundle, which cosign verifies), and attaches it.\n' +
        'A tag is resolved once. The subject of the statement is the digest, which is printed.',
    )
    .argument('<reference>', 'image, by tag or digest')
    .requiredOption(
      '--type <type>',
      'slsaprovenance1, spdxjson, cyclonedx, vuln, vsa, or the URI of another predicate type',
    )
    .requiredOption('--predicate <file>', 'the predicate, a JSON object')
    .action(async (text: string, flags: AttestFlags, command: Command) => {
      const context = await cli.open(command);
      const [{ checkPredicate, predicateLabel, predicateType }, { sign }, { signPorts }, render] =
        await Promise.all([
          import('../../signatures/predicates.ts'),
          import('../../actions/sign/sign.ts'),
          import('../flags/sign-ports.ts'),
          import('../render/sign-text.ts'),
        ]);
      const type = predicateType(flags.type);
      const predicate = checkPredicate(type, await readPredicate(context, flags.predicate), flags.predicate);
      const witness = await witnessOf(context, flags);
      const { reference, source } = await context.openImage(text, { write: true });
      const { output } = context;
      const digest = createHash('sha256').update(predicate).digest('hex');
      output.info(
        `attesting ${predicateLabel(type) ?? type}: ${flags.predicate}, ${predicate.byteLength} bytes, sha256:${digest}`,
      );
      const signed = await sign(
        [{ text, reference }],
        { signature: { envelope: 'bundle', purpose: type, predicate, witness }, name: false },
        signPorts(context, reference, source, flags),
      );
      const { lines, json } = render.signedResult(reference, signed, undefined);
      output.result(lines, {
        ...json,
        predicateType: type,
        predicate: { size: predicate.byteLength, digest: `sha256:${digest}` },
      });
    });
}

async function readPredicate(context: Context, file: string): Promise<Uint8Array> {
  const { MAX_PREDICATE_BYTES } = await import('../../signatures/predicates.ts');
  const { readFileBounded } = await import('../../disk/atomic.ts');
  return await readFileBounded(context.path(file), MAX_PREDICATE_BYTES, { pipes: true });
}
