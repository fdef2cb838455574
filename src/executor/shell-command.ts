// Which programs a shell's text starts, as far as that can be told without a shell. What is uncertain is left out.

/**
 * The program that `args` (a shell with -c and a text) starts before anything could change what it is or whether it is
 * started: `hello --x`, `A=1 hello`, `set -e; cd /src && hello`. Null if that is not certain.
 */
export function firstProgram(args: readonly string[]): string | null {
  const text = shellText(args);
  if (text === null || text.includes('||')) return null; // its failure may be provided for
  const start = /^\s*(?:(?:set|cd)(?: +[\w./+-]+)*\s*(?:&&|[;\n])\s*)*/.exec(text)?.[0] ?? '';
  const [, assignments = '', word = ''] = firstWord.exec(text.slice(start.length)) ?? [];
  if (word === '' || isShellWord(word) || /\bPATH=/.test(assignments)) return null;
  return /\bcd\b/.test(start) && !word.startsWith('/') && word.includes('/') ? null : word;
}

const firstWord = /^((?:[A-Za-z_]\w*=[^\s'"`$\\;&|()<>]*[ \t]+)*)([\w./+-]+)(?=[\s;&|<>]|$)/;

/** Every word that may stand where a program is named; only for messages, for some may never be started. */
export function namedPrograms(args: readonly string[]): string[] {
  const commands = (shellText(args) ?? '').split(/[\n;&|(){}`]/).map((command) => {
    const bare = command.replace(/^\s*(?:(?:if|then|else|elif|while|until|do|time|exec|command|!)\s+)*/, '');
    return firstWord.exec(bare)?.[2] ?? '';
  });
  return [...new Set(commands)].filter((word) => word !== '' && !isShellWord(word)).slice(0, 50);
}

/** Comments and joined lines are gone. */
function shellText(args: readonly string[]): string | null {
  const [shell = ''] = args;
  if (!/(^|\/)(ba|da|a|k|z)?sh$/.test(shell) || !/^-[a-z]*c$/.test(args.at(-2) ?? '')) return null;
  return (args.at(-1) ?? '').replaceAll(/\\\n/g, ' ').replaceAll(/^\s*#.*\n?/gm, '');
}

/** What a shell does itself, whatever files have that name. */
function isShellWord(word: string): boolean {
  return shellWords.has(word);
}

const shellWords = new Set(
  `. : alias bg break case cd command continue do done echo elif else esac eval exec exit export false fc fg fi for function
  getopts hash if in jobs kill local let printf pwd read readonly return select set shift shopt source test then times trap true type
  typeset declare ulimit umask unalias unset until wait while`.split(/\s+/),
);
