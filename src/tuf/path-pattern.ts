/**
 * Whether a PATHPATTERN of a delegation (TUF 1.0.34 §4.5) matches a target path: `*` matches any
 * characters but `/`, `?` for one, everything else for itself. Braces, brackets, `!`, `**` and a
 * leading dot mean nothing special, because a matcher that knows them widens trust. Case counts.
 */
export function matchesPathPattern(pattern: string, path: string): boolean {
  const patternParts = pattern.split('/');
  const pathParts = path.split('/');
  return (
    patternParts.length === pathParts.length &&
    patternParts.every((part, index) => matchesSegment(Array.from(part), Array.from(pathParts[index] ?? '')))
  );
}

/** Greedy match with one point of return: at most pattern × text steps, whatever the pattern. */
function matchesSegment(pattern: readonly string[], text: readonly string[]): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
