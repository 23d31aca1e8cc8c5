import type { Command } from 'commander';
import type { Cli, Context } from '../shell/context.ts';

/** A person waits at the prompt: what takes longer, in milliseconds, is not offered. */
const PATIENCE_MS = 2_500;
/** Most words that are offered. */
const WORDS = 500;

/** Not for people: what the completion scripts of shells ask for. It prints nothing where it knows nothing. */
export function register(program: Command, cli: Cli): void {
  program
    .command('__complete', { hidden: true })
    .argument('<kind>')
    .argument('[word]')
    .action(async (kind: string, word: string | undefined, _options: unknown, command: Command) => {
      const context = await cli.open(command);
      const words = await wordsOf(context, kind, word ?? '').catch(() => []);
      const fitting = [...new Set(words)].filter((one) => one.startsWith(word ?? '')).sort();
      context.output.result(fitting.slice(0, WORDS), { words: fitting.slice(0, WORDS) });
    });
}

async function wordsOf(context: Context, kind: string, word: string): Promise<readonly string[]> {
  if (kind === 'key') {
    const { keystoreOf } = await import('../flags/keys.ts');
    return (await keystoreOf(context).list()).map(({ name }) => name);
  }
  if (kind !== 'reference') return [];
  const colon = word.lastIndexOf(':');
  // A colon before a slash is that of a port, and the first of oci:DIR that of its kind.
  const isTag = colon > word.lastIndexOf('/') && !/^oci(-archive)?:?[^:]*$/.test(word);
  return isTag ? await tagsOf(context, word.slice(0, colon)) : await pinned(context);
}

async function tagsOf(context: Context, repository: string): Promise<readonly string[]> {
  const [{ parseReference }, { isMachineTag }] = await Promise.all([
    import('../../oci/reference.ts'),
    import('../../trust/format/vocabulary.ts'),
  ]);
  const source = await context.openSource(parseReference(repository));
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(PATIENCE_MS)]);
  const tags = await source.listTags({ signal });
  return tags.filter((tag) => !isMachineTag(tag)).map((tag) => `${repository}:${tag}`);
}

/** Repositories that are pinned one by one: those that a person here works with. */
async function pinned(context: Context): Promise<readonly string[]> {
  const [{ pinFile }, { isPrefix }] = await Promise.all([
    import('../shell/trust-stores.ts'),
    import('../../trust/read/pin.ts'),
  ]);
  const pins = await (await pinFile(context)).list();
  return [...pins.values()].flatMap(({ scope }) => (isPrefix(scope) ? [] : [scope]));
}
