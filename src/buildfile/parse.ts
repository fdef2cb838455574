// Buildfile text → typed, located instructions.
import { BuildError, type SourceFile, type Span } from '../base/index.js';
import { parseDirectives } from './directives.js';
import { type Fragments, type IncludeChain, openFragment } from './include.js';
import { parseInstruction } from './instruction.js';
import type { LogicalLine } from './logical-line.js';
import { scanLines } from './scan.js';
import type {
  ArgInstruction,
  Buildfile,
  Directive,
  EscapeCharacter,
  FromInstruction,
  Instruction,
  Stage,
  Word,
} from './types.js';

export interface ParseOptions {
  /** The build argument BUILDKIT_SYNTAX: names the language in place of the file. */
  readonly syntax?: string | undefined;
  /** The files that INCLUDE brings; without it none can be included. */
  readonly fragments?: Fragments | undefined;
}

/**
 * Parses a Buildfile (the Dockerfile language, and INCLUDE). Total: whatever the text is, the answer is a Buildfile or a
 * BuildError with its place.
 *
 * @throws BuildError UNKNOWN_INSTRUCTION, UNKNOWN_FLAG, ARGUMENTS_INVALID, BUILDFILE_EMPTY, INCLUDE_… and the like
 * @see Dockerfile reference
 */
export function parseBuildfile(file: SourceFile, options: ParseOptions = {}): Buildfile {
  const { directives, escapeChar, frontend } = parseDirectives(file, options.syntax);
  const globalArgs: ArgInstruction[] = [];
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  const emptyContinuations: Span[] = [];
  const comments = new Map<Instruction | FromInstruction, readonly Word[]>();
  forEachInstruction(file, escapeChar, options.fragments, (instruction, line) => {
    if (line.emptyLine !== null) {
      emptyContinuations.push({ file: line.file, start: line.emptyLine, end: line.emptyLine });
    }
    if (line.comments.length > 0) comments.set(instruction, withoutDirectives(line.comments, directives));
    if (instruction.keyword === 'FROM') stages.push({ index: stages.length, from: instruction, instructions: [] });
    else if (stages.length > 0) stages.at(-1)!.instructions.push(instruction);
    else if (instruction.keyword === 'ARG') globalArgs.push(instruction);
    else {
      throw new BuildError('FROM_MISSING', {
        message: `${instruction.keyword} stands before the first FROM`,
        hint: 'a Buildfile begins with FROM; only ARG may stand before it',
        at: { ...instruction.at, end: instruction.at.start + instruction.keyword.length },
      });
    }
  });
  if (stages.length === 0) throw nothingToBuild(file, globalArgs);
  return { file, directives, frontend, escapeChar, globalArgs, stages, emptyContinuations, comments };
}

function withoutDirectives(comments: readonly Word[], directives: readonly Directive[]): readonly Word[] {
  const isDirective = ({ at }: Word): boolean =>
    directives.some(
      (directive) => directive.at.file === at.file && at.start <= directive.at.start && directive.at.start < at.end,
    );
  return directives.length === 0 ? comments : comments.filter((comment) => !isDirective(comment));
}

/** Files that include others twice, which include others twice, are small and mean a lot. */
const maxFragments = 1000;

/** Calls `visit` with what the file consists of, what it includes in its place. */
function forEachInstruction(
  main: SourceFile,
  escapeChar: EscapeCharacter,
  fragments: Fragments | undefined,
  visit: (instruction: Instruction | FromInstruction, line: LogicalLine) => void,
): void {
  let count = 0;
  const visitFile = (chain: IncludeChain): void => {
    const { file } = chain.at(-1)!;
    for (const line of scanLines(file, file.text.startsWith('\uFEFF') ? 1 : 0, escapeChar)) {
      const instruction = parseInstruction(line, 0, escapeChar);
      if (instruction.keyword !== 'INCLUDE') visit(instruction, line);
      else if (++count <= maxFragments) visitFile(openFragment(instruction, chain, fragments, escapeChar));
      else {
        throw new BuildError('INCLUDE_TOO_MANY', {
          message: `this build includes more than ${maxFragments} files`,
          at: instruction.path.at,
        });
      }
    }
  };
  visitFile([{ id: fragments?.main ?? '', file: main }]);
}

/** The instruction that an image's ONBUILD trigger is. @throws as parseBuildfile */
export function parseTrigger(file: SourceFile): Instruction {
  const lines = scanLines(file, 0, '\\');
  const [line] = lines;
  const trigger = line && parseInstruction(line, 0, '\\');
  const keyword = trigger?.keyword;
  if (!trigger || lines.length > 1 || keyword === 'FROM' || keyword === 'ONBUILD' || keyword === 'INCLUDE') {
    throw new BuildError('ARGUMENTS_INVALID', {
      message: 'this ONBUILD trigger is not one instruction',
      at: { file, start: 0, end: file.text.length },
    });
  }
  return trigger;
}

function nothingToBuild(file: SourceFile, globalArgs: readonly ArgInstruction[]): BuildError {
  const last = globalArgs.at(-1);
  return new BuildError('BUILDFILE_EMPTY', {
    message: last ? `${file.name} has no FROM` : `${file.name} has no instructions`,
    hint: "begin it with FROM and an image, or 'FROM scratch'",
    at: last?.at ?? { file, start: file.text.length, end: file.text.length },
  });
}
