import { planOfOnlyRoot } from './new-collection.ts';
import { planOfRegistry } from './put-back.ts';
import { planOfKeys } from './replace-keys.ts';
import type { RecoveryState } from './state.ts';
import { demandCollection, type LossDetails, type RecoveryPlan } from './steps.ts';
import { planOfClock } from './wrong-clock.ts';

/**
 * The commands that recover from a loss, in order, with what readers see meanwhile and what cannot be saved
 * (docs/recovery.md).
 * @throws BullaError usage where it is not clear which key was lost; not-found where there is nothing to plan from
 */
export function recoveryPlan(state: RecoveryState, loss: LossDetails): RecoveryPlan {
  switch (loss.lost) {
    case 'publisher-key':
    case 'online-key':
    case 'root-key':
      return planOfKeys(state, loss);
    case 'only-root-key':
      return planOfOnlyRoot(state, demandCollection(state), loss);
    case 'registry':
    case 'trust-tag':
      return planOfRegistry(state, loss);
    case 'clock':
      return planOfClock(state, demandCollection(state), loss);
  }
}
