import { formatTime } from '../../encoding/time.ts';
import type { ReportedKey, ReportedRole, ReportState } from './report.ts';

/** What a state is called; it is never said by colour alone. */
export const STATE_WORDS: Readonly<Record<ReportState, string>> = {
  fine: 'All is well',
  soon: 'Needs attention',
  bad: 'Needs action now',
};

/** Class of a state in the styles. */
export const CLASSES: Readonly<Record<ReportState | 'expired', 'good' | 'soon' | 'bad'>> = {
  fine: 'good',
  soon: 'soon',
  bad: 'bad',
  expired: 'bad',
};

/** The sign of each class. */
export const SIGNS: Readonly<Record<'good' | 'soon' | 'bad', string>> = { good: '✓', soon: '!', bad: '✕' };

/** `2026-12-08`, in UTC. */
export function dayOf(time: Date): string {
  return formatTime(time).slice(0, 10);
}

/** What a role does, for readers who do not know TUF. */
export const DUTIES: Readonly<Record<ReportedRole['kind'], string>> = {
  root: 'assigns the keys of all other roles',
  targets: 'says who may sign names',
  names: 'signs names',
  signer: 'signs names',
  snapshot: 'says which versions belong together',
  timestamp: 'says which state is the newest',
};

/** `release 3f2a91c04d1e` */
export function keyText({ keyid, name }: ReportedKey): string {
  return name === undefined ? keyid.slice(0, 12) : `${name} ${keyid.slice(0, 12)}`;
}

/** `1 key`, `2 of 3 keys` */
export function thresholdText({ threshold, keys }: Pick<ReportedRole, 'threshold' | 'keys'>): string {
  if (keys.length === 1 && threshold === 1) return '1 key';
  return `${threshold} of ${keys.length} keys`;
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
