import type { Command } from 'commander';

/** Shells that {@link completionScript} knows. */
export const SHELLS: readonly string[] = ['bash', 'zsh', 'fish'];

/** A command by its full name (`key generate`) and what may follow it. */
interface Node {
  readonly path: string;
  readonly summary: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly flags: readonly { readonly flag: string; readonly summary: string }[];
}

/**
 * Completion script of a shell, made from the commands themselves.
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
  const globals = command.parent === null ? [] : rootOf(command).options;
  yield {
    path,
    summary: command.summary(),
    commands: command.commands.map((child) => ({ name: child.name(), summary: child.summary() })),
    flags: [...command.options, ...globals].flatMap((option) =>
      [option.long, option.short]
        .filter((flag) => flag != null)
        .map((flag) => ({ flag, summary: option.description })),
    ),
  };
  for (const child of command.commands)
    yield* walk(child, path === '' ? child.name() : `${path} ${child.name()}`);
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent);
}

function bash(nodes: readonly Node[]): string {
  const cases = nodes.map((node) => {
    const words = [...node.commands.map((child) => child.name), ...node.flags.map((flag) => flag.flag)].join(
      ' ',
    );
    return `    '${node.path}') words='${words}' ;;`;
  });
  return `# bash completion of bulla
_bulla() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case " ${nodes
      .map((node) => node.path.replaceAll(' ', '+'))
      .filter(Boolean)
      .join(' ')} " in
      *" \${path:+$path+}$word "*) path="\${path:+$path+}$word" ;;
    esac
  done
  case "\${path//+/ }" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
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
    return `    '${node.path}') entries=(${lines.join(' ')}) ;;`;
  });
  return `#compdef bulla
_bulla() {
  local -a entries
  local place='' word known=' ${nodes
    .map((node) => node.path.replaceAll(' ', '+'))
    .filter(Boolean)
    .join(' ')} '
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ $known == *" \${place:+$place+}$word "* ]] && place="\${place:+$place+}$word"
  done
  case "\${place//+/ }" in
${cases.join('\n')}
  esac
  _describe 'bulla' entries || _files
}
compdef _bulla bulla
`;
}

function fish(nodes: readonly Node[]): string {
  const lines = nodes.flatMap((node) => {
    const here = fishCondition(node);
    const noFiles = node.commands.length > 0 ? [`complete -c bulla -n ${quote(here)} -f`] : [];
    return [
      ...noFiles,
      ...node.commands.map(
        (child) => `complete -c bulla -n ${quote(here)} -a ${child.name} -d ${quote(child.summary)}`,
      ),
      ...node.flags.map(({ flag, summary }) => {
        const spelled = flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
        return `complete -c bulla -n ${quote(here)} ${spelled} -d ${quote(summary)}`;
      }),
    ];
  });
  return `# fish completion of bulla\n${lines.join('\n')}\n`;
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
