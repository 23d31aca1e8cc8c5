import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { isErrno } from './errno.ts';

/** What is known about a process from the mark it left in the name of a file. */
export type Liveness = 'alive' | 'dead' | 'unknown';

let own: string | undefined;

/**
 * Mark of this process, safe in a file name: `<place>-<pid>-<start>`. The place identifies machine,
 * boot and PID namespace, because a process id means something only there; the start time tells a
 * process from a later one that got the same number.
 */
export function processMark(): string {
  own ??= `${place()}-${process.pid}-${startTime(process.pid) ?? 0}`;
  return own;
}

/** Whether the process that left `mark` still runs; `unknown` where it ran in another place. */
export function livenessOf(mark: string): Liveness {
  const match = /^([0-9a-f]{16})-([0-9]{1,10})-([0-9]{1,20})$/.exec(mark);
  if (match === null || match[1] !== place()) return 'unknown';
  const pid = Number(match[2]);
  if (!exists(pid)) return 'dead';
  const started = startTime(pid);
  if (started === undefined || match[3] === '0') return 'unknown';
  return started === match[3] ? 'alive' : 'dead';
}

/** The process id in a mark, for messages. */
export function pidOf(mark: string): string {
  return mark.split('-')[1] ?? 'unknown';
}

let ownPlace: string | undefined;

function place(): string {
  ownPlace ??= process
    .getBuiltinModule('node:crypto')
    .createHash('sha256')
    .update([hostname(), bootId(), pidNamespace()].join('\n'))
    .digest('hex')
    .slice(0, 16);
  return ownPlace;
}

// Outside Linux there is no /proc; the host name alone has to do there.
function bootId(): string {
  return orElse('', () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
}

function pidNamespace(): string {
  return orElse('', () => readlinkSync('/proc/self/ns/pid'));
}

/**
 * Start of a process in clock ticks since boot: field 22 of proc(5); fields 3 and on follow the name in
 * parentheses. A zombie does nothing any more, so it never started.
 */
function startTime(pid: number): string | undefined {
  return orElse(undefined, () => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? 'ended' : fields[19];
  });
}

function orElse<T>(otherwise: T, read: () => T): T {
  try {
    return read();
  } catch {
    // What the system does not tell is not known; that is an answer, not a failure.
    return otherwise;
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isErrno(error, 'ESRCH');
  }
}
