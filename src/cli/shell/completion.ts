import type { Command } from 'commander';
import { isHidden } from './help.ts';

/** Shells that {@link completionScript} knows. */
export const SHELLS: readonly string[] = ['bash', 'zsh', 'fish'];

/** What a word names: a key of the key store, a repository or a name in one, or a path. */
type Kind = 'key' | 'reference' | 'path';

/** A command by its full name (`key generate`) and what may follow it. */
interface Node {
  readonly path: string;
  readonly summary: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly flags: readonly {
    readonly flag: string;
    readonly summary: string;
    /** What its value names; undefined if it has none. */
    readonly value: Kind | undefined;
  }[];
  /** What its arguments name. */
  readonly argument: Kind;
}

/**
 * Completion script of a shell, made from the commands themselves. For keys and names it asks `bulla __complete`.
 * @returns undefined for a shell that is not known
 */
export function completionScript(shell: string, program: Command): string | undefined {
  const nodes = [...walk(program, '')];
  if (shell === 'bash') return bash(nodes);
  if (shell === 'zsh') return zsh(nodes);
  if (shell === 'fish') return fish(nodes);
  return undefined;
}

function* walk(command: Command, path: string): Generator<Node> {
  if (isHidden(command)) return;
  const globals = command.parent === null ? [] : rootOf(command).options;
  yield {
    path,
    summary: command.summary(),
    commands: command.commands
      .filter((child) => !isHidden(child))
      .map((child) => ({ name: child.name(), summary: child.summary() })),
    flags: [...command.options, ...globals]
      .filter(({ hidden }) => !hidden)
      .flatMap((option) =>
        [option.long, option.short]
          .filter((flag) => flag != null)
          .map((flag) => ({ flag, summary: option.description, value: kindOf(option.flags) })),
      ),
    argument: kindOfArguments(path, command),
  };
  for (const child of command.commands)
    yield* walk(child, path === '' ? child.name() : `${path} ${child.name()}`);
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}

function kindOf(flags: string): Kind | undefined {
  const value = /[<[]([\w-]+)/.exec(flags)?.[1];
  if (value === undefined) return undefined;
  if (value === 'key') return 'key';
  return value === 'repository' ? 'reference' : 'path';
}

function kindOfArguments(path: string, command: Command): Kind {
  const names = command.registeredArguments.map((argument) => argument.name());
  if (path.startsWith('key ') && names.some((name) => name === 'name' || name === 'key')) return 'key';
  return names.some((name) => /^(reference|repository|source|destination|image|what|scope)/.test(name))
    ? 'reference'
    : 'path';
}

/** Flags of a command whose value is of a kind, between spaces. */
function flagsOf(node: Node, kind: Kind): string {
  return node.flags.flatMap(({ flag, value }) => (value === kind ? [flag] : [])).join(' ');
}

function paths(nodes: readonly Node[]): string {
  return nodes
    .map((node) => node.path.replaceAll(' ', '+'))
    .filter(Boolean)
    .join(' ');
}

function bash(nodes: readonly Node[]): string {
  const cases = nodes.map((node) => {
    const commands = node.commands.map((child) => child.name).join(' ');
    const flags = node.flags.map(({ flag }) => flag).join(' ');
    return `    '${node.path}') commands='${commands}' flags='${flags}' keys=' ${flagsOf(node, 'key')} ' references=' ${flagsOf(node, 'reference')} ' files=' ${flagsOf(node, 'path')} ' argument=${node.argument} ;;`;
  });
  return `# bash completion of bulla
_bulla() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path='' word commands='' flags='' keys='' references='' files='' argument=path
  local at=$COMP_CWORD kind whole strip='' IFS=$' \\t\\n'
  # bash takes apart what has a colon or an equals sign.
  whole=$current
  [[ $current == '=' ]] && current='' whole=''
  while ((at > 1)) && [[ \${COMP_WORDS[at]} == : || \${COMP_WORDS[at - 1]} == : ]]; do
    ((at--))
    whole=\${COMP_WORDS[at]}$whole
  done
  [[ \${COMP_WORDS[at]} == '=' || \${COMP_WORDS[at - 1]} == '=' ]] && ((at--))
  [[ \${COMP_WORDS[at]} == '=' ]] && ((at--))
  for word in "\${COMP_WORDS[@]:1:at-1}"; do
    case " ${paths(nodes)} " in
      *" \${path:+$path+}$word "*) path="\${path:+$path+}$word" ;;
    esac
  done
  case "\${path//+/ }" in
${cases.join('\n')}
  esac
  word=\${COMP_WORDS[at - 1]}
  kind=$argument
  if [[ $at != "$COMP_CWORD" && \${COMP_WORDS[at]} == -* ]]; then word=\${COMP_WORDS[at]}; fi
  case "$keys" in *" $word "*) kind=key commands='' flags='' ;; esac
  case "$references" in *" $word "*) kind=reference commands='' flags='' ;; esac
  case "$files" in *" $word "*) kind=path commands='' flags='' ;; esac
  COMPREPLY=($(compgen -W "$commands" -- "$whole"))
  if [[ $whole != -* && $kind != path ]]; then
    local answer
    [[ $COMP_WORDBREAKS == *:* ]] && strip=\${whole%"\${whole##*:}"}
    while IFS= read -r answer; do
      COMPREPLY+=("\${answer#"$strip"}")
    done < <("\${COMP_WORDS[0]}" __complete "$kind" "$whole" 2>/dev/null </dev/null)
  fi
  [[ $whole == -* || \${#COMPREPLY[@]} -eq 0 || $kind == path ]] && COMPREPLY+=($(compgen -W "$flags" -- "$whole"))
  [[ \${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _bulla bulla
`;
}

function zsh(nodes: readonly Node[]): string {
  const cases = nodes.map((node) => {
    const lines = [
      ...node.commands.map((child) => `${child.name}:${child.summary}`),
      ...node.flags.map((flag) => `${flag.flag}:${flag.summary}`),
    ].map((line) => `'${line.replaceAll("'", '’')}'`);
    return `    '${node.path}') entries=(${lines.join(' ')}) keys=' ${flagsOf(node, 'key')} ' references=' ${flagsOf(node, 'reference')} ' files=' ${flagsOf(node, 'path')} ' argument=${node.argument} ;;`;
  });
  return `#compdef bulla
_bulla() {
  local -a entries answers
  local place='' word kind argument=path keys='' references='' files='' known=' ${paths(nodes)} '
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ $known == *" \${place:+$place+}$word "* ]] && place="\${place:+$place+}$word"
  done
  case "\${place//+/ }" in
${cases.join('\n')}
  esac
  kind=$argument word=\${words[CURRENT-1]}
  case $keys in *" $word "*) kind=key entries=() ;; esac
  case $references in *" $word "*) kind=reference entries=() ;; esac
  case $files in *" $word "*) kind=path entries=() ;; esac
  if [[ $kind != path && \${words[CURRENT]} != -* ]]; then
    answers=("\${(@f)$(\${words[1]} __complete $kind "\${words[CURRENT]}" 2>/dev/null)}")
    answers=(\${answers:#})
    (( \${#answers} )) && compadd -S '' -- "\${answers[@]}" && return
  fi
  (( \${#entries} )) && _describe 'bulla' entries && return
  _files
}
compdef _bulla bulla
`;
}

function fish(nodes: readonly Node[]): string {
  const lines = nodes.flatMap((node) => {
    const here = fishCondition(node);
    const noFiles = node.commands.length > 0 ? [`complete -c bulla -n ${quote(here)} -f`] : [];
    const answers =
      node.argument === 'path'
        ? []
        : [`complete -c bulla -n ${quote(here)} -a ${quote(asked(node.argument))}`];
    return [
      ...noFiles,
      ...answers,
      ...node.commands.map(
        (child) => `complete -c bulla -n ${quote(here)} -a ${child.name} -d ${quote(child.summary)}`,
      ),
      ...node.flags.map(({ flag, summary, value }) => {
        const spelled = flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
        const takes = value === undefined ? '' : value === 'path' ? ' -r' : ` -r -a ${quote(asked(value))}`;
        return `complete -c bulla -n ${quote(here)} ${spelled}${takes} -d ${quote(summary)}`;
      }),
    ];
  });
  return `# fish completion of bulla\n${lines.join('\n')}\n`;
}

function asked(kind: Kind): string {
  return `(bulla __complete ${kind} (commandline -ct) 2>/dev/null)`;
}

/** After these words, and before a word that leads further. */
function fishCondition(node: Node): string {
  const parts = node.path.split(' ').filter(Boolean);
  if (parts.length === 0) return '__fish_use_subcommand';
  const seen = parts.map((part) => `__fish_seen_subcommand_from ${part}`);
  const further = node.commands.map((child) => child.name).join(' ');
  return [...seen, ...(further === '' ? [] : [`not __fish_seen_subcommand_from ${further}`])].join('; and ');
}

function quote(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`;
}
