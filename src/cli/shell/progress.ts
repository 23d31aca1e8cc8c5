import { sizeText } from '../render/tree-text.ts';
import type { Sink } from './io.ts';

/** How often a terminal is drawn anew, in milliseconds. */
const FRAME_MS = 100;
/** Rows of a live display besides the total. */
const MAX_ROWS = 8;

interface Transfer {
  readonly label: string;
  readonly total: number;
  bytes: number;
}

/**
 * Shows transfers: on a terminal a live row for each and one in total; in a pipe a plain line for each
 * that has ended; nothing where it is switched off. It writes to stderr only.
 */
export class Progress {
  private readonly sink: Sink;
  private readonly mode: 'live' | 'plain' | 'none';
  private readonly active = new Map<string, Transfer>();
  private rows = 0;
  private drawn = -Infinity;
  private finished = 0;
  private expected: number | undefined;
  private bytes = 0;

  constructor(sink: Sink, shown: boolean) {
    this.sink = sink;
    this.mode = !shown ? 'none' : sink.isTTY === true ? 'live' : 'plain';
  }

  /** There will be so many transfers. */
  expect(total: number): void {
    this.expected = total;
  }

  /** A transfer begins, or begins anew after a failure. */
  start(id: string, label: string, total: number): void {
    this.active.set(id, { label, total, bytes: 0 });
    this.draw(false);
  }

  /** So many bytes have come by now. */
  reach(id: string, bytes: number): void {
    const transfer = this.active.get(id);
    if (transfer === undefined) return;
    transfer.bytes = bytes;
    this.draw(false);
  }

  /**
   * A transfer has ended, or there was nothing to transfer.
   * @param line printed about it; without one, the caller prints something, and the display makes room
   */
  end(id: string, line: string | undefined, bytes: number): void {
    this.active.delete(id);
    this.finished++;
    this.bytes += bytes;
    if (this.mode === 'plain' && line !== undefined) this.sink.write(`${line}\n`);
    if (this.mode !== 'live') return;
    this.clear();
    if (line === undefined) return;
    this.sink.write(`${cut(line, this.sink.columns)}\n`);
    this.draw(true);
  }

  /** Takes the live display away, so that something else can be printed. */
  stop(): void {
    if (this.mode === 'live') this.clear();
    this.active.clear();
  }

  private draw(force: boolean): void {
    if (this.mode !== 'live') return;
    const now = performance.now();
    if (!force && now - this.drawn < FRAME_MS) return;
    this.drawn = now;
    const shown = [...this.active.values()].slice(0, MAX_ROWS);
    const moving = [...this.active.values()].reduce((sum, transfer) => sum + transfer.bytes, 0);
    const more = this.active.size - shown.length;
    const lines = [
      ...shown.map(row),
      `${this.finished}${this.expected === undefined ? '' : ` of ${this.expected}`} done, ${this.active.size} under way${more > 0 ? ` (${more} not shown)` : ''}, ${sizeText(this.bytes + moving)}`,
    ];
    this.clear();
    this.sink.write(`${lines.map((line) => cut(line, this.sink.columns)).join('\n')}\n`);
    this.rows = lines.length;
  }

  private clear(): void {
    // Up to the first row, and erase from there to the end of the screen.
    if (this.rows > 0) this.sink.write(`\u001b[${this.rows}A\u001b[0J`);
    this.rows = 0;
  }
}

function row(transfer: Transfer): string {
  const share = transfer.total === 0 ? 1 : Math.min(1, transfer.bytes / transfer.total);
  const filled = Math.round(share * 20);
  const bar = '━'.repeat(filled) + '─'.repeat(20 - filled);
  return `${transfer.label}  ${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${sizeText(transfer.bytes)} of ${sizeText(transfer.total)}`;
}

/** A row that wraps could not be taken back. A terminal that does not know its width says 0. */
function cut(line: string, told: number | undefined): string {
  const columns = told === undefined || told < 1 ? 80 : told;
  return line.length < columns ? line : `${line.slice(0, Math.max(0, columns - 2))}…`;
}
