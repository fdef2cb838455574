// An error as people read it: what happened, the Buildfile's lines with a caret, what to do.
import { CodedError } from '#native';
import { BuildError } from './errors.js';
import { lineAndColumn, lineCount, lineText, type SourceFile, type Span } from './span.js';

/** The text for standard error, without a final newline. Errors that are no CodedError are bugs and say so. */
export function renderError(error: unknown): string {
  if (!(error instanceof CodedError)) {
    const text = error instanceof Error ? error.message : String(error);
    if (isRefusal(error)) return `error[SYSTEM]: ${printable(text)}\nhelp: ${hints[error.code] ?? elsewhere}`;
    return `error[INTERNAL]: ${printable(text)}\nhelp: this is a bug in tsbuild; run again with --debug for the stack trace`;
  }
  const lines = [`error[${error.code}]: ${printable(error.message)}`];
  if (error instanceof BuildError && error.at) lines.push(...excerpt(error.at));
  if (error instanceof BuildError) lines.push(...error.notes.map(printable));
  if (error.hint) lines.push(`help: ${printable(error.hint)}`);
  return lines.join('\n');
}

/** What is worth a person's eye, in the form of an error. */
export interface Warning {
  readonly code: string;
  readonly message: string;
  readonly at: Span;
  readonly hint: string | undefined;
}

/** The text for standard error, without a final newline. */
export function renderWarning({ code, message, at, hint }: Warning): string {
  const lines = [`warning[${code}]: ${printable(message)}`, ...excerpt(at)];
  if (hint) lines.push(`help: ${printable(hint)}`);
  return lines.join('\n');
}

/** The machine refused a system call, and nobody between there and here had better words for it. */
function isRefusal(error: unknown): error is NodeJS.ErrnoException & { code: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}

const hints: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full: free some space, for example with 'tsbuild gc'",
  EACCES: 'check the permissions of that path and of the directories above it',
  EMFILE: "raise the limit of open files with 'ulimit -n'",
};
const elsewhere = '--debug shows where it happened';

const shownLines = 10;

/** Columns of a line that are shown; of a longer one, those around the place. */
const shownColumns = 200;

function excerpt(at: Span): string[] {
  const { line, column } = lineAndColumn(at.file, at.start);
  const last = lineAndColumn(at.file, Math.max(at.start, at.end - 1)).line;
  const count = Math.min(last - line + 1, shownLines, lineCount(at.file) - line + 1);
  const shown = Array.from({ length: count }, (_, i) => lineText(at.file, line + i));
  const margin = ' '.repeat(String(line + shown.length - 1).length);
  const skipped = last > line || column <= shownColumns / 2 ? 0 : column - shownColumns / 2;
  const pieces = shown.map((text) => text.slice(skipped, skipped + shownColumns));
  const numbered = pieces.map((piece, i) => {
    const [before, after] = [skipped > 0 ? '…' : '', shown[i]!.length > skipped + shownColumns ? '…' : ''];
    return `${String(line + i).padStart(margin.length)} | ${before}${printable(piece)}${after}`.trimEnd();
  });
  return [
    `${margin}--> ${printable(at.file.name)}:${line}:${column}`,
    `${margin} |`,
    ...numbered,
    ...(last === line
      ? [`${margin} | ${caret(pieces[0] ?? '', column - skipped, at.end - at.start, skipped > 0)}`]
      : []),
    ...(last > line - 1 + shownLines ? [`${margin} | …`] : []),
    ...includedAt(at.file).map((text) => `${margin} = ${text}`),
  ];
}

/** 'included at Buildfile:3', outwards. */
function includedAt(file: SourceFile): string[] {
  const lines: string[] = [];
  for (let at = file.includedAt; at !== undefined; at = at.file.includedAt) {
    lines.push(`included at ${printable(at.file.name)}:${lineAndColumn(at.file, at.start).line}`);
  }
  return lines;
}

/** The line of ^ below a piece of one line; tabs stay tabs and shown control characters keep their width, so that it lines up. */
function caret(text: string, column: number, length: number, isCut: boolean): string {
  const indent = printable(text.slice(0, column - 1)).replace(/[^\t]/g, ' ');
  const marked = printable(text.slice(column - 1, column - 1 + length)).length;
  return (isCut ? ' ' : '') + indent + '^'.repeat(Math.max(1, marked));
}

/** Control characters made visible: what a registry, an image or a file name says must not drive the terminal. */
export function printable(text: string): string {
  return text.replace(controls, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
