// INCLUDE: the instructions of another file, in the place where it stands. An addition of tsbuild's: the Dockerfile
// language has no instruction of that name.
import { BuildError, type SourceFile } from '../base/index.js';
import { parseDirectives } from './directives.js';
import { ExpansionError, expandWord } from './expand.js';
import { fail, type InstructionText } from './instruction-text.js';
import { spanOf } from './logical-line.js';
import type { EscapeCharacter, IncludeInstruction, Word } from './types.js';
import { quotedWords } from './words.js';

/** How the parser gets at other files; it reads none itself. */
export interface Fragments {
  /** The id of the file that is parsed. */
  readonly main: string;
  /**
   * @param context name of the build context that `path` lies in; null: beside the file that includes it
   * @param by id of that file
   * @returns id: the same for the same file, however it is reached
   * @throws BuildError INCLUDE_…; the parser adds its place
   */
  read(path: string, context: string | null, by: string): { readonly file: SourceFile; readonly id: string };
}

/** The files on the way from the main one to that which is being read. */
export type IncludeChain = readonly { readonly id: string; readonly file: SourceFile }[];

const maxDepth = 16;

/** A path may have no variables: what a Buildfile consists of does not depend on what it is given. @throws BuildError ARGUMENTS_INVALID */
export function parseInclude(text: InstructionText): IncludeInstruction {
  const words = quotedWords(text.line, text.rest, text.escapeChar);
  const [word] = words;
  if (!word || words.length > 1)
    return fail(text, 'INCLUDE takes one path', 'write INCLUDE PATH, or INCLUDE --from=CONTEXT PATH');
  const at = spanOf(text.line, word.start, word.end);
  const from = text.flags.value('from');
  const path = { text: unquote(text, { text: word.text, at }), at };
  for (const part of [path, from]) {
    if (!part?.text.includes('$')) continue;
    throw new BuildError('ARGUMENTS_INVALID', {
      message: 'variables can not stand in INCLUDE',
      hint: 'write the path out; a fragment may use variables in its own instructions',
      at: part.at,
    });
  }
  if (path.text === '') return fail(text, 'the path of INCLUDE is empty');
  return { at: text.at, source: text.source, keyword: 'INCLUDE', path, from: from?.text ? from : null };
}

function unquote(text: InstructionText, word: Word): string {
  try {
    return word.text.includes('$')
      ? word.text
      : expandWord(word.text, () => undefined, { escapeChar: text.escapeChar });
  } catch (error) {
    if (!(error instanceof ExpansionError)) throw error;
    throw new BuildError('ARGUMENTS_INVALID', { message: error.message, at: word.at });
  }
}

/**
 * The chain with the file that `include` names.
 * @throws BuildError INCLUDE_CYCLE, INCLUDE_TOO_DEEP, INCLUDE_NOT_FOUND, DIRECTIVE_INVALID, …
 */
export function openFragment(
  include: IncludeInstruction,
  chain: IncludeChain,
  fragments: Fragments | undefined,
  escapeChar: EscapeCharacter,
): IncludeChain {
  const { at } = include.path;
  if (!fragments) throw new BuildError('INCLUDE_UNREADABLE', { message: 'no file can be included here', at });
  const { file, id } = readAt(include, () =>
    fragments.read(include.path.text, include.from?.text ?? null, chain.at(-1)!.id),
  );
  const included = { id, file: { ...file, includedAt: at } };
  if (chain.some((link) => link.id === id)) {
    const names = [...chain.slice(chain.findIndex((link) => link.id === id)), included].map((link) => link.file.name);
    throw new BuildError('INCLUDE_CYCLE', {
      message: `${file.name} includes itself: ${names.join(' → ')}`,
      hint: 'move what both need into a third file, and include that',
      at,
    });
  }
  if (chain.length > maxDepth) {
    throw new BuildError('INCLUDE_TOO_DEEP', {
      message: `files include each other more than ${maxDepth} deep`,
      hint: 'include them from one file instead',
      at,
    });
  }
  requireSameEscape(included.file, escapeChar);
  return [...chain, included];
}

function readAt<T>(include: IncludeInstruction, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    const { code, message, hint } = error;
    const at = code === 'INCLUDE_CONTEXT' && include.from ? include.from.at : include.path.at;
    throw new BuildError(code, { message, hint, at, cause: error });
  }
}

/** Its words are expanded together with those of the file around it. */
function requireSameEscape(file: SourceFile, escapeChar: EscapeCharacter): void {
  const found = parseDirectives(file);
  const directive = found.directives.find(({ name }) => name === 'escape');
  if (!directive || found.escapeChar === escapeChar) return;
  throw new BuildError('DIRECTIVE_INVALID', {
    message: `a file that is included has the escape character of the one that includes it, here ${escapeChar}`,
    hint: 'remove the directive, and write the file with that character',
    at: directive.at,
  });
}
