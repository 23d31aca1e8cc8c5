import { type Dialect, moves, redirect, refusal } from './proxy.ts';

/**
 * Azure Container Registry. What is locked cannot be changed: 405 with REGISTRY_DISALLOWED_OPERATION, in the words of
 * Azure/azure-sdk-for-net#22827 (learn.microsoft.com, container-registry-image-lock). Blobs are at a storage, whose
 * addresses are signed for the method they were asked by (moby/moby#50065).
 * @param locked tags that were locked
 */
export function acr(locked: RegExp = /^$/): Dialect {
  return async (asked, context) => {
    const { kind } = context;
    if (await moves(asked, context, locked))
      return refusal(
        405,
        'REGISTRY_DISALLOWED_OPERATION',
        'The operation is disallowed on this registry, repository or image.',
      );
    const answer = await context.pass();
    const reads = asked.method === 'GET' || asked.method === 'HEAD';
    if (kind === 'blobs' && reads && (answer.status === 200 || answer.status === 206))
      return redirect(307, context.storage());
    return answer;
  };
}
