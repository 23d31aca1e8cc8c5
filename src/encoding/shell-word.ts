/** A word that a shell takes as it is; names of roles come from the collection. */
export function shellWord(word: string): string {
  return /^[\w./:@+-]+$/.test(word) && !word.startsWith('-') ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A name of a role, a pattern or a tag; in quotes where it could be taken for more than one. */
export function plainName(name: string): string {
  return /^[\w.*?/:@+-]+$/.test(name) ? name : JSON.stringify(name);
}
