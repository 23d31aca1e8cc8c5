import { decodeUtf8 } from '../../encoding/bytes.ts';
import { type Located, type Mistake, openLocated } from '../../encoding/located-yaml.ts';
import { BullaError, isBullaError } from '../../errors.ts';
import { placeNamed } from '../../oci/place.ts';
import { mistakesIn } from './mistakes.ts';
import { invalidPolicy } from './parse.ts';
import { type PolicyDocument, policySchema } from './schema.ts';

/** Files of one policy: the one that is given, and those that it includes, in however many steps. */
export const MAX_POLICY_FILES = 64;
/** Files that include each other, one below the other. */
export const MAX_INCLUDE_DEPTH = 8;

/** Where policy files are. */
export interface PolicyFiles {
  /** @throws BullaError not-found, storage-error */
  read(path: string): Promise<Uint8Array>;
  /** The path of a file that another one names. */
  beside(path: string, name: string): string;
  /** A path for people. */
  shown(path: string): string;
}

/** A policy file, and those that it includes. */
export interface PolicyFile {
  readonly path: string;
  readonly document: PolicyDocument;
  readonly included: readonly PolicyFile[];
}

/**
 * Reads a policy file and what it includes (spec/policy.md, "Includes"). Keys, certificates and roots are not read.
 * @throws BullaError policy-invalid, with the file, line and column of every mistake; what `files` throws
 */
export async function loadPolicy(path: string, files: PolicyFiles): Promise<PolicyFile> {
  return (await new Loader(files).load(path, [])).file;
}

/** A file, the places of its members, and the names of all sets that one that includes it may use. */
interface Loaded {
  readonly file: PolicyFile;
  readonly sets: ReadonlyMap<string, string>;
}

class Loader {
  private readonly files: PolicyFiles;
  private readonly read = new Set<string>();
  /** Places of rules, and where each rule stands: `FILE:LINE:COLUMN`. */
  private readonly rules = new Map<string, string>();

  constructor(files: PolicyFiles) {
    this.files = files;
  }

  /** @param chain the files that include this one, the first one first */
  async load(path: string, chain: readonly string[]): Promise<Loaded> {
    this.read.add(path);
    const where = this.files.shown(path);
    const text = decodeUtf8(await this.files.read(path), where);
    const located = openLocated(text, policySchema, (mistakes, cause) =>
      invalidPolicy(where, mistakes, cause),
    );
    const { value: document, at } = located;
    const refuse = (mistakes: readonly Mistake[]): void => {
      if (mistakes.length > 0) throw invalidPolicy(where, mistakes.map(at));
    };
    refuse(chain.length === 0 ? [] : misplacedIn(document));
    const included: PolicyFile[] = [];
    const sets = new Map(Object.keys(document.sets ?? {}).map((name) => [name, path]));
    // The rules of this file first: what an included one repeats is told there.
    this.claimRules(where, located, refuse);
    for (const [index, name] of (document.include ?? []).entries()) {
      const mistake = (message: string): void => refuse([{ path: ['include', index], message }]);
      const loaded = await this.include(name, [...chain, path], mistake);
      included.push(loaded.file);
      for (const [set, file] of loaded.sets) {
        const other = sets.get(set);
        if (other !== undefined && other !== file)
          mistake(
            `there are two sets ${JSON.stringify(set)}: in ${this.files.shown(other)} and in ${this.files.shown(file)}`,
          );
        sets.set(set, file);
      }
    }
    refuse(mistakesIn(document, sets.keys()));
    return { file: { path, document, included }, sets };
  }

  private async include(
    name: string,
    chain: readonly string[],
    refuse: (message: string) => void,
  ): Promise<Loaded> {
    if (/^[a-z][a-z0-9+.-]*:/i.test(name) || /^[/\\]/.test(name))
      refuse(`${JSON.stringify(name)} is not a path relative to this file: only such files are included`);
    const from = chain.at(-1) as string;
    const path = this.files.beside(from, name);
    if (chain.includes(path)) refuse(`${name} includes this file, or is this file`);
    if (this.read.has(path)) refuse(`${name} is included twice`);
    if (chain.length > MAX_INCLUDE_DEPTH)
      refuse(`files are included more than ${MAX_INCLUDE_DEPTH} levels deep`);
    if (this.read.size >= MAX_POLICY_FILES) refuse(`more than ${MAX_POLICY_FILES} files are included`);
    try {
      return await this.load(path, chain);
    } catch (error) {
      if (!isBullaError(error) || error.code === 'policy-invalid') throw error;
      const { code, message, hint } = error;
      throw new BullaError(code, `${this.files.shown(from)} includes ${name}: ${message}`, {
        cause: error,
        ...(hint !== undefined && { hint }),
      });
    }
  }

  /** Most specific wins, wherever a rule stands; equal scopes in two files are never decided by an order. */
  private claimRules(
    where: string,
    { value, at }: Located<PolicyDocument>,
    refuse: (mistakes: readonly Mistake[]) => void,
  ): void {
    const mistakes: Mistake[] = [];
    for (const [index, { scope }] of value.rules.entries()) {
      const rule: Mistake = { path: ['rules', index, 'scope'], message: 'another rule has the same scope' };
      const place = placeNamed(scope);
      const other = this.rules.get(place);
      const { line, column } = at(rule);
      if (other === undefined) this.rules.set(place, `${where}:${line}:${column}`);
      else if (!other.startsWith(`${where}:`))
        mistakes.push({ ...rule, message: `${rule.message}: ${other}` });
    }
    refuse(mistakes);
  }
}

const OF_INCLUDED: readonly string[] = ['version', 'include', 'sets', 'rules'];

/** What would be about all files if it stood in an included one. */
function misplacedIn(document: PolicyDocument): Mistake[] {
  return Object.keys(document)
    .filter((name) => !OF_INCLUDED.includes(name))
    .map((name) => ({
      path: [name],
      message: `${name} holds for a whole policy: write it into the file that includes this one`,
    }));
}
