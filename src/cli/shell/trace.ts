import type { HttpEvent, HttpEventSink } from '../../http/events.ts';
import { sizeText } from '../render/tree-text.ts';

/** Prints HTTP as `curl -v` does; the events come without secrets. */
export function traceSink(write: (line: string) => void): HttpEventSink {
  return (event) => {
    for (const line of linesOf(event)) write(line);
  };
}

function linesOf(event: HttpEvent): string[] {
  switch (event.type) {
    case 'request':
      return [
        `> ${event.id} ${event.method} ${event.url}`,
        ...event.headers.map(([name, value]) => `> ${event.id} ${name}: ${value}`),
      ];
    case 'response':
      return [
        `< ${event.id} ${event.status} after ${Math.round(event.elapsedMs)} ms`,
        ...event.headers.map(([name, value]) => `< ${event.id} ${name}: ${value}`),
      ];
    case 'end':
      return [`< ${event.id} ${sizeText(event.bytes)} after ${Math.round(event.elapsedMs)} ms`];
    case 'error':
      return [`! ${event.id} ${event.message} after ${Math.round(event.elapsedMs)} ms`];
    case 'retry':
      return [`! again in ${Math.round(event.delayMs)} ms: ${event.reason}`];
  }
}
