/** How the help lists commands: titles, and what stands under each, the main work first. */
const GROUPS: readonly (readonly [title: string, names: string])[] = [
  ['Everyday commands', 'sign attest verify copy sync push pull revoke'],
  ['Look at images and collections', 'ls tree inspect status log report'],
  ['Trust collections', 'init ceremony signer rotate pending approve withdraw recover resign'],
  ['Keys and trust', 'key pin policy signature'],
  ['Registries and servers', 'login logout check serve gate'],
  ['Other systems', 'import export docker-trust tuf'],
  ['Help', 'completion'],
];

const PLACES: ReadonlyMap<string, { readonly title: string; readonly at: number }> = new Map(
  GROUPS.flatMap(([title, names]) => names.split(' ').map((name) => ({ title, name }))).map(
    ({ title, name }, at) => [name, { title, at }],
  ),
);

/** Title under which the help lists a command. */
export function groupOf(name: string): string {
  return PLACES.get(name)?.title ?? 'Other commands';
}

/** Commands as the help lists them; those that stand in no group come last. */
export function byGroup<T extends { readonly name: string }>(commands: readonly T[]): readonly T[] {
  const place = ({ name }: T): number => PLACES.get(name)?.at ?? Infinity;
  return commands.toSorted((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
}
