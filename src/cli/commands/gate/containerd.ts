import { join } from 'node:path';
import {
  assertSame,
  hookScript,
  imageOf,
  MAX_DESCRIPTOR_BYTES,
  parsePullQuestion,
  reasonOf,
} from '../../../actions/gate/pull.ts';
import type { PolicyAnswer } from '../../../actions/verify/by-policy.ts';
import { makeDirectory, writeFileAtomic } from '../../../disk/atomic.ts';
import { utf8 } from '../../../encoding/bytes.ts';
import { parseDuration } from '../../../encoding/time.ts';
import { BullaError } from '../../../errors.ts';
import { within } from '../../../http/deadline.ts';
import { orInterrupted } from '../../../http/failure.ts';
import { readPolicy } from '../../flags/policy-flags.ts';
import type { Context } from '../../shell/context.ts';
import { answerFor } from '../policy/by-policy.ts';

/** Flags of `bulla gate containerd`. */
export interface HookFlags {
  readonly policy: string;
  readonly within: string;
  readonly home: string;
  readonly install?: string;
}

/** Decides about one pull. The reason of a denial goes to standard output, where containerd reads it. @throws BullaError */
export async function answer(context: Context, question: readonly string[], flags: HookFlags): Promise<void> {
  const ms = parseDuration(flags.within);
  if (ms === undefined || ms <= 0)
    throw new BullaError('usage', `--within is ${JSON.stringify(flags.within)}, not a duration`, {
      hint: 'write 8s',
    });
  const { output, signal } = context;
  try {
    const decide = async (): Promise<readonly [string, PolicyAnswer]> => {
      const pull = parsePullQuestion(question, await descriptorIn(context));
      const decided = await answerFor(context, imageOf(pull), await readPolicy(context, flags.policy));
      assertSame(pull, decided.runnable);
      return [decided.runnable, decided];
    };
    const [runnable, rule] = await within(ms, 'the decision about a pull', signal, (until) =>
      orInterrupted(decide(), until),
    );
    const { scope, mode, verdict } = rule.rule;
    const why =
      rule.refusal === undefined ? `rule ${scope}` : `rule ${scope} only audits: ${rule.refusal.message}`;
    output.result(`${runnable} is allowed (${why})`, {
      image: runnable,
      allowed: true,
      rule: { scope, mode, decision: verdict.kind },
    });
  } catch (error) {
    if (error instanceof BullaError) context.io.stdout.write(`${reasonOf(error)}\n`);
    throw error;
  }
}

async function descriptorIn({ io }: Context): Promise<Uint8Array> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of io.stdin) {
    size += piece.length;
    if (size > MAX_DESCRIPTOR_BYTES)
      throw new BullaError('content-invalid', `the descriptor has more than ${MAX_DESCRIPTOR_BYTES} bytes`, {
        hint: 'nothing is pulled',
      });
    pieces.push(Buffer.from(piece as Buffer | string));
  }
  return Buffer.concat(pieces);
}

/** Writes the program that containerd runs. The policy is read first: a hook that denies everything is found here. */
export async function install(
  context: Context,
  flags: HookFlags & { readonly install: string },
): Promise<void> {
  const { io, output } = context;
  await readPolicy(context, flags.policy);
  if (io.program === undefined)
    throw new BullaError('usage', 'this program does not know where it is', {
      hint: 'run the installed command bulla',
    });
  const command = [
    // The single executable is both.
    ...(io.program === process.execPath ? [] : [process.execPath]),
    io.program,
    'gate',
    'containerd',
    '--policy',
    context.path(flags.policy),
    '--within',
    flags.within,
  ];
  const directory = context.path(flags.install);
  await makeDirectory(directory, 0o755);
  const path = join(directory, 'bulla');
  await writeFileAtomic(path, utf8(hookScript(command, context.path(flags.home))), { mode: 0o755 });
  output.result(path, { file: path });
  output.info('name its directory in the configuration of containerd, and restart that (docs/nodes.md)');
}
