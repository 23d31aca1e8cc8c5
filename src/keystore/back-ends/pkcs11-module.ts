import { BullaError } from '../../errors.ts';

/** Of the package pkcs11js, what is used here: the calls of PKCS #11 with its constants as numbers. */
export interface Pkcs11 {
  load(path: string): void;
  C_Initialize(): void;
  C_GetSlotList(withToken: boolean): readonly Handle[];
  C_GetTokenInfo(slot: Handle): TokenInfo;
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_Login(session: Handle, user: number, pin: string): void;
  C_FindObjectsInit(session: Handle, template: readonly Attribute[]): void;
  C_FindObjects(session: Handle, max: number): readonly Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(session: Handle, object: Handle, template: readonly Attribute[]): readonly Attribute[];
  C_GenerateKeyPairAsync(
    session: Handle,
    mechanism: Mechanism,
    publicKey: readonly Attribute[],
    privateKey: readonly Attribute[],
  ): Promise<{ readonly publicKey: Handle; readonly privateKey: Handle }>;
  C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_SignAsync(session: Handle, data: Buffer, into: Buffer): Promise<Buffer>;
}

/** What the module calls a slot, session or object. */
export type Handle = Buffer;

/** What a token says of itself. */
export interface TokenInfo {
  readonly label: string;
  readonly manufacturerID: string;
  readonly model: string;
  readonly serialNumber: string;
  readonly flags: number;
}

/** A type of attribute, and its value where it is known. */
export interface Attribute {
  readonly type: number;
  readonly value?: Buffer | number | boolean;
}

/** How to sign. */
export interface Mechanism {
  readonly mechanism: number;
  readonly parameter?: unknown;
}

const INSTALL =
  'it needs a compiler, so it is not installed with bulla: npm install --global pkcs11js (and for the single executable, NODE_PATH: docs/install.md)';

/**
 * Loads a module of a token. Both the package and the module are native code of this process.
 * @throws BullaError usage where the package is not installed, key-unavailable where the module cannot be loaded
 */
export async function loadModule(path: string): Promise<Pkcs11> {
  // Not written out, so that it is looked for when it is needed and not when the program is built.
  const name: string = 'pkcs11js';
  let PKCS11: new () => Pkcs11;
  try {
    const loaded = (await import(name)) as { default?: { PKCS11: typeof PKCS11 }; PKCS11?: typeof PKCS11 };
    PKCS11 = (loaded.PKCS11 ?? loaded.default?.PKCS11) as typeof PKCS11;
  } catch (cause) {
    throw new BullaError('usage', 'keys of a PKCS #11 token need the package pkcs11js', {
      cause,
      hint: INSTALL,
    });
  }
  const module = new PKCS11();
  try {
    module.load(path);
    module.C_Initialize();
  } catch (cause) {
    if (codeOf(cause) === CKR_ALREADY_INITIALIZED) return module;
    throw new BullaError(
      'key-unavailable',
      `the PKCS #11 module ${path} cannot be loaded: ${wordsOf(cause)}`,
      {
        cause,
        hint: 'check its path, and that the device is plugged in',
      },
    );
  }
  return module;
}

const CKR_ALREADY_INITIALIZED = 0x191;

/** The return value of a failed call. */
export function codeOf(error: unknown): number | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === 'number' ? code : undefined;
}

/** Its name, as the standard has it. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
