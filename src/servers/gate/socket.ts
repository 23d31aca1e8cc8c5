import { chmod, lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { imageOf, MAX_DESCRIPTOR_BYTES, parsePullQuestion, reasonOf } from '../../actions/gate/pull.ts';
import { type GateImage, parseImage, type Verdict } from '../../actions/gate/verdict.ts';
import { parseJsonObject } from '../../encoding/json.ts';
import { BullaError, isBullaError, messageOf } from '../../errors.ts';

/** What the hook of a node is answered: a line of JSON. */
export interface PullAnswer {
  readonly allowed: boolean;
  readonly reason: string;
}

export interface SocketPorts {
  readonly path: string;
  /** Says what the policy says about an image, in time; it never fails. */
  readonly ask: (image: GateImage) => Promise<Verdict>;
  readonly isEmergency: boolean;
  readonly decided: (image: string, answer: PullAnswer, verdict: Verdict | undefined) => void;
  readonly problem: (message: string) => void;
}

const MAX_QUESTION_BYTES = 2 * MAX_DESCRIPTOR_BYTES;
const IDLE_MS = 15_000;
const CONNECTIONS = 64;

/** Answers `bulla gate containerd --socket` on this machine (spec/gate.md, "Nodes"). */
export class GateSocket {
  private readonly ports: SocketPorts;
  private readonly open = new Set<Socket>();
  private readonly server: Server;

  constructor(ports: SocketPorts) {
    this.ports = ports;
    this.server = createServer({ allowHalfOpen: true }, (socket) => this.serve(socket));
    this.server.maxConnections = CONNECTIONS;
  }

  /** @throws BullaError usage where another gate listens there, or something else is there */
  async listen(): Promise<void> {
    const { path } = this.ports;
    await removeStale(path);
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (cause) => reject(cannot(path, messageOf(cause), cause)));
      this.server.listen(path, resolve);
    });
    await chmod(path, 0o600);
  }

  async close(): Promise<void> {
    if (!this.server.listening) return;
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const socket of this.open) socket.destroySoon();
    await closed;
  }

  private serve(socket: Socket): void {
    this.open.add(socket);
    socket.on('close', () => this.open.delete(socket));
    socket.on('error', () => undefined);
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    const pieces: Buffer[] = [];
    let size = 0;
    let isAsked = false;
    socket.on('data', (piece: Buffer) => {
      if (isAsked) return;
      size += piece.byteLength;
      pieces.push(piece);
      if (size > MAX_QUESTION_BYTES) socket.destroy();
      else if (piece.includes(0x0a)) {
        isAsked = true;
        void this.answer(Buffer.concat(pieces)).then((answer) => socket.end(`${JSON.stringify(answer)}\n`));
      }
    });
    socket.on('end', () => {
      if (!isAsked) socket.destroy();
    });
  }

  private async answer(question: Buffer): Promise<PullAnswer> {
    let image = '';
    let verdict: Verdict | undefined;
    let answer: PullAnswer;
    try {
      const { args, descriptor } = questionIn(question);
      const pull = parsePullQuestion(args, descriptor);
      image = imageOf(pull);
      if (this.ports.isEmergency)
        answer = { allowed: true, reason: `${image} is not verified: the gate admits everything` };
      else {
        verdict = await this.ports.ask(parseImage(image));
        answer = answerOf(image, verdict, pull.digest);
      }
    } catch (error) {
      if (!isBullaError(error)) this.ports.problem(`a question of a node failed: ${messageOf(error)}`);
      answer = {
        allowed: false,
        reason: isBullaError(error) ? reasonOf(error) : 'the gate failed; its log says why [internal]',
      };
    }
    this.ports.decided(image, answer, verdict);
    return answer;
  }
}

function questionIn(line: Buffer): { readonly args: readonly string[]; readonly descriptor: Uint8Array } {
  const { args, descriptor } = parseJsonObject(line, { what: 'the question', maxBytes: MAX_QUESTION_BYTES });
  if (!Array.isArray(args) || !args.every((arg) => typeof arg === 'string') || typeof descriptor !== 'string')
    throw new BullaError('content-invalid', 'the question has no arguments and descriptor', {
      hint: 'use the bulla of the same version on the node',
    });
  return { args: args as string[], descriptor: Buffer.from(descriptor) };
}

function answerOf(
  image: string,
  { outcome, mode, scope, digest, error }: Verdict,
  asked: string,
): PullAnswer {
  if (outcome === 'allowed')
    return { allowed: true, reason: `${image} is allowed (rule ${scope}, not verified)` };
  if (outcome === 'verified' && digest === asked)
    return { allowed: true, reason: `${image} is allowed (rule ${scope})` };
  const why =
    error === undefined
      ? `${digest ?? 'nothing'} is verified, and ${asked} would be pulled [digest-mismatch]`
      : reasonOf(
          new BullaError(error.code, error.message, {
            ...(error.hint !== undefined && { hint: error.hint }),
          }),
        );
  return mode === 'audit'
    ? { allowed: true, reason: `${image} is allowed (rule ${scope} only audits: ${why})` }
    : { allowed: false, reason: why };
}

/** A socket that a killed gate has left is removed; anything else stays. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw cannot(path, 'something else is there');
  if (await isAnswered(path)) throw cannot(path, 'another gate listens there');
  await unlink(path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const is = (answer: boolean) => (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', is(true));
    socket.once('error', is(false));
  });
}

function cannot(path: string, why: string, cause?: unknown): BullaError {
  return new BullaError('usage', `cannot listen on ${path}: ${why}`, {
    cause,
    hint: 'give another path with --socket, in a directory that only root can write to',
  });
}
