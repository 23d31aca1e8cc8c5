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
import { decodeUtf8, utf8 } from '../../../encoding/bytes.ts';
import { parseDuration } from '../../../encoding/time.ts';
import { BullaError } from '../../../errors.ts';
import { within } from '../../../http/deadline.ts';
import { orInterrupted } from '../../../http/failure.ts';
import { readPolicy } from '../../flags/policy-flags.ts';
import type { Context } from '../../shell/context.ts';
import { askGate, type GateAnswer } from '../../shell/gate-socket.ts';
import { answerFor } from '../policy/by-policy.ts';

/** Flags of `bulla gate containerd`. */
export interface HookFlags {
  readonly policy?: string;
  readonly socket?: string;
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
  const descriptor = await told(context, () => descriptorIn(context));
  const byGate =
    flags.socket === undefined ? undefined : await ask(context, flags.socket, question, descriptor, ms);
  if (byGate !== undefined) printGateAnswer(context, byGate);
  else await told(context, () => decide(context, question, flags, descriptor, ms));
}

/** Runs `work`, and says on standard output why it denies. @throws BullaError as it does */
async function told<T>({ io }: Context, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof BullaError) io.stdout.write(`${reasonOf(error)}\n`);
    throw error;
  }
}

/** The gate on this machine; undefined where none listens. */
async function ask(
  context: Context,
  socket: string,
  question: readonly string[],
  descriptor: Uint8Array,
  withinMs: number,
): Promise<GateAnswer | undefined> {
  const text = decodeUtf8(descriptor, 'the descriptor');
  return await askGate({ socket: context.path(socket), question }, () => text, withinMs);
}

/** @throws BullaError policy-denied */
function printGateAnswer({ io, output }: Context, { allowed, reason }: GateAnswer): void {
  if (allowed) {
    output.result(reason, { allowed, reason });
    return;
  }
  io.stdout.write(`${reason}\n`);
  throw new BullaError('policy-denied', reason, {
    hint: 'the gate on this machine has decided; its log says more',
  });
}

/** Decides by the policy itself. @throws BullaError */
async function decide(
  context: Context,
  question: readonly string[],
  { policy, socket }: HookFlags,
  descriptor: Uint8Array,
  ms: number,
): Promise<void> {
  const { output, signal } = context;
  if (policy === undefined)
    throw new BullaError(
      'usage',
      socket === undefined ? 'no policy is given' : `no gate listens on ${socket}`,
      {
        hint: 'give --policy FILE, which decides then, or start bulla serve gate --socket PATH',
      },
    );
  const verified = async (): Promise<readonly [string, PolicyAnswer]> => {
    const pull = parsePullQuestion(question, descriptor);
    const decided = await answerFor(context, imageOf(pull), await readPolicy(context, policy));
    assertSame(pull, decided.runnable);
    return [decided.runnable, decided];
  };
  const [runnable, rule] = await within(ms, 'the decision about a pull', signal, (until) =>
    orInterrupted(verified(), until),
  );
  const { scope, mode, verdict } = rule.rule;
  const why =
    rule.refusal === undefined ? `rule ${scope}` : `rule ${scope} only audits: ${rule.refusal.message}`;
  output.result(`${runnable} is allowed (${why})`, {
    image: runnable,
    allowed: true,
    rule: { scope, mode, decision: verdict.kind },
  });
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
  const { policy, socket } = flags;
  if (policy === undefined && socket === undefined)
    throw new BullaError('usage', 'nothing that decides is given', {
      hint: 'give --policy FILE, --socket PATH of a gate on this machine, or both',
    });
  if (policy !== undefined) await readPolicy(context, policy);
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
    ...(policy === undefined ? [] : ['--policy', context.path(policy)]),
    ...(socket === undefined ? [] : ['--socket', context.path(socket)]),
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
