import type { KeyObject } from 'node:crypto';
import type { AlgorithmId } from '../../../src/crypto/algorithm.ts';
import { publicKeyOf } from '../../../src/crypto/public-key.ts';
import { createSigner, signMany } from '../../../src/crypto/signer.ts';
import { BullaError } from '../../../src/errors.ts';
import type { KeyBackEnd, KeyHandle, SignMessages } from '../../../src/keystore/back-end.ts';

/** A service that keeps keys and signs in batches, as far away as a test wants, and that counts what it is asked. */
export class RemoteKeys {
  /** Messages in each request, in order. */
  readonly requests: number[] = [];
  opened = 0;
  /** What happens to the signatures on their way back. */
  spoil: (signatures: readonly Uint8Array[]) => readonly Uint8Array[] = (signatures) => signatures;
  /** What goes wrong with the next openings. */
  readonly failures: BullaError[] = [];
  /** What it answers to requests for signatures, from the one of this number on (0 is the first). */
  refusal: BullaError | undefined;
  refusesFrom = 0;
  /** Never answers. */
  hangs = false;
  private readonly keys: ReadonlyMap<string, KeyObject>;
  private readonly algorithms: readonly AlgorithmId[] | undefined;

  constructor(keys: Readonly<Record<string, KeyObject>>, algorithms?: readonly AlgorithmId[]) {
    this.keys = new Map(Object.entries(keys));
    this.algorithms = algorithms;
  }

  /** For `KeySources`: keys are at `test-kms://NAME`. */
  get backEnds(): ReadonlyMap<string, () => Promise<KeyBackEnd>> {
    return new Map([['test-kms://', async () => this.backEnd]]);
  }

  readonly backEnd: KeyBackEnd = { find: (uri) => this.find(uri.replace(/^[a-z-]+:(\/\/)?/i, '')) };

  /** Works again. */
  recover(): void {
    this.failures.length = 0;
    this.refusal = undefined;
    this.spoil = (signatures) => signatures;
  }

  /** What `backEnd` finds under a name. */
  async find(name: string): Promise<KeyHandle> {
    const key = this.keys.get(name);
    if (key === undefined) throw new BullaError('not-found', `there is no key ${name}`, { hint: 'make one' });
    const { algorithms } = this;
    const known = { name, publicKey: publicKeyOf(key), ...(algorithms !== undefined && { algorithms }) };
    return { ...known, open: () => this.open(key) };
  }

  private async open(key: KeyObject): Promise<SignMessages> {
    this.opened++;
    await far();
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    return async (algorithm, messages) => {
      this.requests.push(messages.length);
      if (this.refusal !== undefined && this.requests.length > this.refusesFrom) throw this.refusal;
      await (this.hangs ? new Promise(() => undefined) : far());
      return this.spoil(await signMany(createSigner(key, algorithm), messages));
    };
  }
}

/** Long enough that others run in between. */
async function far(): Promise<void> {
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve));
}
