import { dirname } from 'node:path';
import * as z from 'zod/mini';
import type { Alarm, AlarmKind, StandingAlarm } from '../../actions/renew/alarms.ts';
import { makeDirectory, readFileBounded, writeFileAtomic } from '../../disk/atomic.ts';
import { utf8 } from '../../encoding/bytes.ts';
import { parseJson } from '../../encoding/json.ts';
import { type ErrorCode, EXIT_CODES, isBullaError, messageOf } from '../../errors.ts';

/** Keeps the alarms that stand, so that their end is told after a restart too. */
export interface AlarmStore {
  /** @returns nothing where it cannot be read: alarms are told again then */
  load(): Promise<readonly StandingAlarm[]>;
  /** Writes what stands at the end of all writes that were asked for. */
  save(standing: Iterable<StandingAlarm>): void;
  close(): Promise<void>;
}

const MAX_ALARM_FILE_BYTES = 4 * 1024 * 1024;
/** More are not kept: they would be told again after a restart. */
const MAX_KEPT_ALARMS = 2_000;

const alarmSchema = z.strictObject({
  kind: z.string(),
  place: z.string(),
  code: z.string().check(z.refine((code) => Object.hasOwn(EXIT_CODES, code), 'not a code')),
  message: z.string(),
  hint: z.optional(z.string()),
  role: z.optional(z.string()),
  since: z.iso.datetime(),
  toldAt: z.iso.datetime(),
});
const fileSchema = z.strictObject({ version: z.literal(1), alarms: z.array(alarmSchema) });

/** `alarms.json` in the directory of the state. What is wrong with it is a problem, and never keeps from signing. */
export class AlarmFile implements AlarmStore {
  private readonly path: string;
  private readonly problem: (message: string) => void;
  private next: readonly StandingAlarm[] | undefined;
  private writing: Promise<void> | undefined;

  constructor(path: string, problem: (message: string) => void) {
    this.path = path;
    this.problem = problem;
  }

  async load(): Promise<readonly StandingAlarm[]> {
    try {
      const bytes = await readFileBounded(this.path, MAX_ALARM_FILE_BYTES);
      const { alarms } = fileSchema.parse(
        parseJson(bytes, { what: this.path, maxBytes: MAX_ALARM_FILE_BYTES }),
      );
      return alarms.map(({ since, toldAt, kind, code, hint, role, ...alarm }) => ({
        alarm: {
          ...alarm,
          kind: kind as AlarmKind,
          code: code as ErrorCode,
          ...(hint !== undefined && { hint }),
          ...(role !== undefined && { role }),
        },
        since: new Date(since),
        toldAt: new Date(toldAt),
      }));
    } catch (error) {
      if (!isBullaError(error, 'not-found')) this.problem(`${this.path} is not used: ${messageOf(error)}`);
      return [];
    }
  }

  save(standing: Iterable<StandingAlarm>): void {
    this.next = [...standing].slice(0, MAX_KEPT_ALARMS);
    this.writing ??= this.writeAll().finally(() => {
      this.writing = undefined;
    });
  }

  async close(): Promise<void> {
    await this.writing;
  }

  private async writeAll(): Promise<void> {
    for (let next = this.next; next !== undefined; next = this.next) {
      this.next = undefined;
      const alarms = next.map(({ alarm, since, toldAt }) => ({
        ...plain(alarm),
        since: since.toISOString(),
        toldAt: toldAt.toISOString(),
      }));
      try {
        await makeDirectory(dirname(this.path), 0o700);
        await writeFileAtomic(this.path, utf8(`${JSON.stringify({ version: 1, alarms })}\n`), {
          mode: 0o600,
        });
      } catch (error) {
        this.problem(`alarms are not kept: ${messageOf(error)}`);
      }
    }
  }
}

function plain({ kind, place, code, message, hint, role }: Alarm): Record<string, string> {
  return {
    ...{ kind, place, code, message },
    ...(hint !== undefined && { hint }),
    ...(role !== undefined && { role }),
  };
}
