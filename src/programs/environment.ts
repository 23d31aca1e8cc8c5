type Environment = Readonly<Record<string, string | undefined>>;

/** Variables that hold secrets for us, or for the tools that sign beside us. */
const SECRET_NAMES: readonly RegExp[] = [
  // All of ours: passphrases, keys, and places, which other programs do not need.
  /^BULLA_/i,
  /^COSIGN_/i,
  /^NOTARY_/i,
  /^NOTATION_/i,
  /^DOCKER_CONTENT_TRUST_/i,
  /^SIGSTORE_ID_TOKEN$/i,
];

/** A private key in PEM, or the text of one in base64: what `--key env://NAME` reads. */
const PRIVATE_KEY = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|LS0tLS1CRUdJTiB[A-Za-z0-9+/]*/;

/**
 * The environment for a program that we start: without what is secret and not for it. What helpers for the
 * clouds need (AWS_*, GOOGLE_*, AZURE_*, HOME, PATH, proxies, …) stays.
 * @param keys names of variables that hold keys (`env://NAME`)
 */
export function childEnvironment(env: Environment, keys: readonly string[] = []): Record<string, string> {
  const kept = Object.entries(env).filter(
    (pair): pair is [string, string] =>
      pair[1] !== undefined &&
      !keys.includes(pair[0]) &&
      !SECRET_NAMES.some((name) => name.test(pair[0])) &&
      !PRIVATE_KEY.test(pair[1]),
  );
  return Object.fromEntries(kept);
}

/** Names of the variables that texts of a command line or a configuration name as keys. */
export function keyVariables(texts: Iterable<unknown>): readonly string[] {
  const names: string[] = [];
  for (const text of texts) {
    if (Array.isArray(text)) names.push(...keyVariables(text));
    else if (typeof text === 'string')
      names.push(...[...text.matchAll(/env:\/\/([A-Za-z_][A-Za-z0-9_]*)/g)].map(([, name = '']) => name));
  }
  return names;
}
