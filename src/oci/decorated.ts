/**
 * A source that answers some calls by itself and hands on the rest: the one way in which sources are decorated.
 * What is left out is called on `inner` itself, so that its own calls to itself stay its own.
 */
export function decorated<S extends object, K extends keyof S>(inner: S, own: Pick<S, K>): S {
  return new Proxy(inner, {
    get: (target, name) => {
      if (Object.hasOwn(own, name)) return own[name as K];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
