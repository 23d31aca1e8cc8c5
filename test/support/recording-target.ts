import type { Target } from '../../src/oci/target.ts';

/** A target that notes each call (`pushBlob sha256:…`) and lets a test step in before it. */
export interface Recording {
  readonly target: Target;
  readonly calls: string[];
  /** Calls of one method. */
  of(method: string): readonly string[];
}

export type Intervention = (method: string, subject: string) => void | Promise<void>;

/** Wraps `inner`; `before` can throw or wait. */
export function recording(inner: Target, before?: Intervention): Recording {
  const calls: string[] = [];
  const target = new Proxy(inner, {
    get(object, property): unknown {
      const value = Reflect.get(object, property) as unknown;
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        const subject = nameOf(args[0]) + tagOf(args[1]);
        calls.push(`${String(property)} ${subject}`);
        await before?.(String(property), subject);
        return await (value.apply(object, args) as Promise<unknown>);
      };
    },
  });
  return { target, calls, of: (method) => calls.filter((call) => call.startsWith(`${method} `)) };
}

function nameOf(argument: unknown): string {
  if (typeof argument === 'string') return argument;
  const { digest, descriptor } = (argument ?? {}) as { digest?: string; descriptor?: { digest: string } };
  return descriptor?.digest ?? digest ?? '';
}

function tagOf(argument: unknown): string {
  const { tag } = (argument ?? {}) as { tag?: string };
  return tag === undefined ? '' : ` as ${tag}`;
}
