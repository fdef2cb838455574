// An error as people read it: what happened, the Buildfile's lines with a caret, what to do.
import { CodedError } from '#native';
import { BuildError } from './errors.js';
import { lineAndColumn, type Span } from './span.js';

/** The text for standard error, without a final newline. Errors that are no CodedError are bugs and say so. */
export function renderError(error: unknown): string {
  if (!(error instanceof CodedError)) {
    const text = error instanceof Error ? error.message : String(error);
    return `error[INTERNAL]: ${printable(text)}\nhelp: this is a bug in tsbuild; run again with --debug for the stack trace`;
  }
  const lines = [`error[${error.code}]: ${printable(error.message)}`];
  if (error instanceof BuildError && error.at) lines.push(...excerpt(error.at));
  if (error instanceof BuildError) lines.push(...error.notes.map(printable));
  if (error.hint) lines.push(`help: ${printable(error.hint)}`);
  return lines.join('\n');
}

function excerpt(at: Span): string[] {
  const { line, column } = lineAndColumn(at.file, at.start);
  const text = at.file.text.split('\n')[line - 1]?.replace(/\r$/, '') ?? '';
  const width = Math.max(1, Math.min(at.end - at.start, text.length - column + 1));
  const number = String(line);
  const margin = ' '.repeat(number.length);
  const indent = text.slice(0, column - 1).replace(/[^\t]/g, ' '); // tabs stay tabs, so that the caret lines up
  return [
    `${margin}--> ${at.file.name}:${line}:${column}`,
    `${margin} |`,
    `${number} | ${printable(text)}`,
    `${margin} | ${indent}${'^'.repeat(width)}`,
  ];
}

/** Control characters made visible: what a registry, an image or a file name says must not drive the terminal. */
function printable(text: string): string {
  return text.replace(controls, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
