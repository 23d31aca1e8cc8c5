import { dirname, resolve } from 'node:path';
import { BullaError } from '../../errors.ts';
import type { Policy, PolicyMaterial } from '../../policy/file/policy.ts';
import type { PolicyDocument } from '../../policy/file/schema.ts';
import type { Context } from '../shell/context.ts';
import { trustedRootOf } from './keyless-flags.ts';

/** Reads a policy file, without what it names. @throws BullaError policy-invalid, not-found, storage-error */
export async function readPolicyDocument(context: Context, path: string): Promise<PolicyDocument> {
  const [{ readPublicFile }, { parsePolicy }, { decodeUtf8 }] = await Promise.all([
    import('../../keystore/read.ts'),
    import('../../policy/file/parse.ts'),
    import('../../encoding/bytes.ts'),
  ]);
  return parsePolicy(decodeUtf8(await readPublicFile(context.path(path)), path), path);
}

/** A policy with the keys, certificates and roots that it names; their paths are relative to the file. */
export async function readPolicy(context: Context, path: string): Promise<Policy> {
  const { policyOf } = await import('../../policy/file/policy.ts');
  return await policyOf(
    await readPolicyDocument(context, path),
    materialIn(context, dirname(context.path(path))),
  );
}

function materialIn(context: Context, directory: string): PolicyMaterial {
  const file = async (path: string): Promise<Uint8Array> => {
    const { readPublicFile } = await import('../../keystore/read.ts');
    return await readPublicFile(resolve(directory, path));
  };
  const isPem = (source: string): boolean => source.includes('-----BEGIN ');
  return {
    file,
    keys: async (source) => {
      const { readPublicKeys } = await import('../../crypto/public-key.ts');
      return readPublicKeys(isPem(source) ? Buffer.from(source) : await file(source), nameOf(source, isPem));
    },
    certificates: async (source) => {
      const { parseCertificates } = await import('../../crypto/certificate.ts');
      const text = isPem(source) ? source : Buffer.from(await file(source)).toString('latin1');
      return parseCertificates(text, nameOf(source, isPem));
    },
    trustedRoot: async (place) => await trustedRootOf(context, place, directory),
  };
}

function nameOf(source: string, isPem: (source: string) => boolean): string {
  return isPem(source) ? 'the PEM in the policy' : source;
}

/** With a policy, no other flag says what is demanded. @throws BullaError usage */
export function refuseDemands(flags: Readonly<Record<string, unknown>>): void {
  const given = Object.entries(flags).find(
    ([name, value]) => value !== undefined && !BESIDE.has(name) && !(name === 'name' && value === true),
  );
  if (given === undefined) return;
  const [name, value] = given;
  const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new BullaError('usage', `--policy and --${value === false ? 'no-' : ''}${flag} exclude each other`, {
    hint: 'the policy says what is demanded: put it there, or leave --policy out',
  });
}

/** Flags that may be given along with a policy. */
const BESIDE: ReadonlySet<string> = new Set(['policy', 'from', 'platform', 'eachPlatform']);
