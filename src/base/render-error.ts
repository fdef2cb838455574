// An error as people read it: what happened, the Buildfile's lines with a caret, what to do.
import { CodedError } from '#native';
import { BuildError } from './errors.js';
import { lineAndColumn, type Span } from './span.js';

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

/** The machine refused a system call, and nobody between there and here had better words for it. */
function isRefusal(error: unknown): error is NodeJS.ErrnoException & { code: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';
}

const hints: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: free some space and try again',
  EACCES: 'check the permissions of that path and of the directories above it',
  EMFILE: "raise the limit of open files with 'ulimit -n'",
};
const elsewhere = '--debug shows where it happened';

const shownLines = 10;

function excerpt(at: Span): string[] {
  const { line, column } = lineAndColumn(at.file, at.start);
  const last = lineAndColumn(at.file, Math.max(at.start, at.end - 1)).line;
  const all = at.file.text.split('\n').map((text) => text.replace(/\r$/, ''));
  const shown = all.slice(line - 1, Math.min(last, line - 1 + shownLines));
  const margin = ' '.repeat(String(line + shown.length - 1).length);
  const numbered = shown.map((text, i) => `${String(line + i).padStart(margin.length)} | ${printable(text)}`.trimEnd());
  return [
    `${margin}--> ${printable(at.file.name)}:${line}:${column}`,
    `${margin} |`,
    ...numbered,
    ...(last === line ? [`${margin} | ${caret(shown[0] ?? '', column, at.end - at.start)}`] : []),
    ...(last > line - 1 + shownLines ? [`${margin} | …`] : []),
  ];
}

/** The line of ^ below a piece of one line; tabs stay tabs, so that it lines up. */
function caret(text: string, column: number, length: number): string {
  const indent = text.slice(0, column - 1).replace(/[^\t]/g, ' ');
  return indent + '^'.repeat(Math.max(1, Math.min(length, text.length - column + 1)));
}

/** Control characters made visible: what a registry, an image or a file name says must not drive the terminal. */
function printable(text: string): string {
  return text.replace(controls, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
