import type { Command } from 'commander';
import { type ListedSignature, listSignatures, removeSignatures } from '../../actions/inspect/signatures.ts';
import { BullaError } from '../../errors.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { formatRepository } from '../../oci/reference.ts';
import { KIND_NAMES } from '../../policy/summary.ts';
import { RELEASE_PURPOSE } from '../../signatures/formats.ts';
import { predicateLabel } from '../../signatures/predicates.ts';
import { hintText } from '../../signatures/sigstore-bundle.ts';
import type { Cli, Image } from '../shell/context.ts';

interface RemoveFlags {
  readonly all?: true;
}

export function register(program: Command, cli: Cli): void {
  const signature = program.command('signature').summary('list and remove the signatures of an image');
  signature
    .command('ls')
    .summary('list the signatures of an image')
    .description(
      'Lists detached signatures of every kind with their claims, unverified. To verify them, use bulla verify.',
    )
    .argument('<reference>', 'image, by tag or digest')
    .action(async (text: string, _flags: unknown, command: Command) => {
      const context = await cli.open(command);
      const image = await context.openImage(text);
      const options = { name: text, signal: context.signal };
      const { image: descriptor, signatures } = await listSignatures(image.source, nameOf(image), options);
      const reference = `${formatRepository(image.reference)}@${descriptor.digest}`;
      context.output.result([reference, ...signatures.flatMap(signatureLines)], {
        reference,
        digest: descriptor.digest,
        signatures,
      });
    });
  signature
    .command('rm')
    .summary('remove signatures from an image')
    .description('Removes detached signatures, with their entries in the fallback index.')
    .argument('<reference>', 'image, by tag or digest')
    .argument('[signatures...]', 'digests of the signatures, as bulla signature ls shows them')
    .option('--all', 'every signature of the image')
    .action(async (text: string, texts: readonly string[], flags: RemoveFlags, command: Command) => {
      const context = await cli.open(command);
      const chosen = chosenOf(texts, flags);
      const image = await context.openImage(text, { write: true });
      const options = { name: text, signal: context.signal };
      const removed = await removeSignatures(image.source, nameOf(image), chosen, options);
      for (const digest of removed) context.output.info(`removed ${digest}`);
      context.output.result([], { removed });
    });
}

function nameOf({ reference, version }: Image): {
  tag: Image['reference']['tag'];
  digest: Digest | undefined;
} {
  return { tag: reference.tag, digest: isDigest(version) ? version : undefined };
}

/** @throws BullaError usage unless there are either digests or --all */
function chosenOf(texts: readonly string[], { all }: RemoveFlags): readonly Digest[] | undefined {
  if (texts.length > 0 === (all === true)) {
    throw new BullaError(
      'usage',
      texts.length > 0 ? 'both digests and --all are given' : 'no signatures to remove are given',
      {
        hint: 'give the digests of signatures (bulla signature ls), or --all',
      },
    );
  }
  if (all === true) return undefined;
  const digests = texts.filter((text): text is Digest => isDigest(text));
  const stranger = texts.find((text) => !isDigest(text));
  if (stranger === undefined) return digests;
  throw new BullaError('usage', `${JSON.stringify(stranger)} is not a digest`, {
    hint: 'give digests as bulla signature ls shows them: sha256:…',
  });
}

function signatureLines(signature: ListedSignature): string[] {
  const { kind, signer, certificates, purpose, signingTime, expires, problem } = signature;
  const rows: (readonly [string, string | null])[] = [
    ['says it is by', signer === null || certificates.length > 0 ? signer : hintText(signer)],
    [
      'purpose',
      purpose === null || purpose === RELEASE_PURPOSE ? null : (predicateLabel(purpose) ?? purpose),
    ],
    ...Object.entries(signature.annotations).map(
      ([name, value]) => ['annotation', `${name}=${value}`] as const,
    ),
    ['made', signingTime],
    ['expires', expires],
    ['problem', problem === null ? null : `${problem.message} [${problem.code}]`],
  ];
  const lines = rows.flatMap(([title, value]) =>
    value === null ? [] : [`    ${title.padEnd(14)} ${value}`],
  );
  return [`  ${signature.signature}  ${kind === null ? 'unreadable' : KIND_NAMES[kind]}`, ...lines];
}
