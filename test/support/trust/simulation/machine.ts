import { ProcessSignerState, type SignerState } from '../../../../src/trust/publish/signer-state.ts';
import { ProcessMemory } from '../../../../src/trust/read/memory.ts';
import type { SimulatedProcess } from './process.ts';

/** What a person's machine keeps between two runs. */
export class Machine {
  readonly memory: ProcessMemory = new LastingMemory();
  readonly state: ProcessSignerState = new ProcessSignerState(true);
}

class LastingMemory extends ProcessMemory {
  override readonly isLasting: boolean = true;
}

/** State on a disk: whoever dies does so before or after a write, and each takes its time. */
export function durable(state: SignerState, process: SimulatedProcess): SignerState {
  return {
    isLasting: state.isLasting,
    load: (id) => through(process, () => state.load(id)),
    update: (id, change) => through(process, () => state.update(id, change)),
    pending: (id) => through(process, () => state.pending(id)),
    keep: (id, object) => through(process, () => state.keep(id, object)),
    drop: (id, tag) => through(process, () => state.drop(id, tag)),
  };
}

async function through<T>(process: SimulatedProcess, work: () => Promise<T>): Promise<T> {
  return await (await process.call('disk', () => ({ result: work() }))).result;
}
