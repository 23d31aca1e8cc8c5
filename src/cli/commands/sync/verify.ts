import type { SyncOptions } from '../../../actions/sync/sync.ts';
import { verifyByPolicy } from '../../../actions/verify/by-policy.ts';
import { verify } from '../../../actions/verify/verify.ts';
import { BullaError } from '../../../errors.ts';
import { formatReference, type Reference } from '../../../oci/reference.ts';
import type { Target } from '../../../oci/target.ts';
import type { Policy } from '../../../policy/file/policy.ts';
import { collectionPorts } from '../../flags/collection-flags.ts';
import { readPolicy, statusPort } from '../../flags/policy-flags.ts';
import { requirementsOf } from '../../flags/signature-flags.ts';
import { demandsOf } from '../../flags/verify-flags.ts';
import type { Context } from '../../shell/context.ts';
import { repositoryOf } from '../../shell/trust-stores.ts';
import { notaryOpener } from '../policy/by-policy.ts';

/** How long a policy that was read is used for further images, in milliseconds. */
const POLICY_MS = 1_000;

/**
 * Verifies what is to be copied, as `verify REPO:TAG@DIGEST` does: by a policy file, else by pins and the default key. A
 * sync may stay for long, so nothing that was read for one image is kept for the next.
 * @throws BullaError policy-invalid, not-found, …
 */
export async function syncVerifier(
  context: Context,
  path: string | undefined,
): Promise<NonNullable<SyncOptions['verify']>> {
  const policyNow = path === undefined ? undefined : rereading(context, path);
  // One that cannot be used is told at once.
  await policyNow?.();
  const [status, openNotary] = [statusPort(context), notaryOpener(context)];
  return async (reference: Reference, source: Target) => {
    const place = repositoryOf(context, reference);
    const policy = await policyNow?.();
    const stores = await collectionPorts(context);
    const ports = {
      ...stores,
      image: async () => source,
      // The file has the credentials of the source.
      openSource: async (wanted: Reference) =>
        repositoryOf(context, wanted) === place ? source : await stores.openSource(wanted),
      ...{ status, openNotary },
    };
    const image = { text: formatReference(reference), reference };
    const { runnable, refusal } =
      policy !== undefined
        ? await verifyByPolicy(image, policy, ports)
        : {
            ...(await verify(image, await demandsOf(context, {}), {
              ...ports,
              requirements: () => requirementsOf(context, {}),
            })),
            refusal: undefined,
          };
    if (refusal !== undefined) context.output.warn(`copied although it is refused: ${refusal.message}`);
    assertSame(image.text, reference.digest, runnable);
  };
}

/** The policy as it is now; one that cannot be read lets nothing pass. */
function rereading(context: Context, path: string): () => Promise<Policy> {
  let last: { readonly at: number; readonly policy: Promise<Policy> } | undefined;
  return async () => {
    const at = context.io.now().getTime();
    if (last === undefined || at < last.at || at - last.at >= POLICY_MS)
      last = { at, policy: readPolicy(context, path) };
    return await last.policy;
  };
}

/** That the verified image is the one that is copied. @throws BullaError digest-mismatch */
function assertSame(text: string, digest: Reference['digest'], runnable: string): void {
  const found = runnable.slice(runnable.lastIndexOf('@') + 1);
  if (found === digest) return;
  throw new BullaError(
    'digest-mismatch',
    `${text}: ${found} is verified, and another image would be copied`,
    {
      hint: 'copy the verified image by its digest',
      details: { expected: found, found: digest },
    },
  );
}
