// Buildfile text → logical lines: what the language calls a line, once continuations are joined, comments dropped and
// heredoc bodies taken out. Exact where parser libraries guess; everything after this works on one line of text.
import { BuildError, type SourceFile } from '../base/index.js';
import { splitFlags } from './flags.js';
import { findHeredocs, type HeredocOpener } from './heredoc.js';
import { parseStringArray } from './json-array.js';
import { type LogicalLine, spanOf } from './logical-line.js';
import type { EscapeCharacter, Heredoc } from './types.js';

/**
 * Splits the file from `start` on.
 * @throws BuildError HEREDOC_UNTERMINATED
 */
export function scanLines(file: SourceFile, start: number, escapeChar: EscapeCharacter): LogicalLine[] {
  const lines: LogicalLine[] = [];
  let at = start;
  while (at < file.text.length) {
    const joined = joinLine(file.text, at, escapeChar);
    at = joined.next;
    if (joined.text.trim() === '') continue;
    const line = { file, text: joined.text, pieces: joined.pieces, heredocs: [], end: joined.end };
    const bodies = readHeredocs(line, at);
    at = bodies.next;
    lines.push(bodies.heredocs.length > 0 ? { ...line, heredocs: bodies.heredocs, end: bodies.end } : line);
  }
  return lines;
}

interface JoinedLine {
  readonly text: string;
  readonly pieces: readonly { readonly at: number; readonly from: number }[];
  /** Offset after the last character that belongs to it, and of the next line. */
  readonly end: number;
  readonly next: number;
}

/** One line and those that continue it. Comments and empty lines between them are passed over. */
function joinLine(text: string, start: number, escapeChar: EscapeCharacter): JoinedLine {
  const pieces: { at: number; from: number }[] = [];
  let joined = '';
  let end = start;
  let at = start;
  let first = true;
  for (;;) {
    const newline = text.indexOf('\n', at);
    const next = newline < 0 ? text.length : newline + 1;
    const line = text.slice(at, newline < 0 ? text.length : newline).replace(/\r+$/, '');
    const lead = line.length - line.trimStart().length;
    const content = lead === line.length ? '' : line;
    const passedOver = content === '' || content[lead] === '#';
    if (!passedOver) {
      const kept = withoutContinuation(content, escapeChar);
      const from = first ? lead : 0; // blanks before a continued line count: 'a\' + ' b' is 'a b'
      pieces.push({ at: joined.length, from: at + from });
      joined += (kept ?? content).slice(from);
      end = at + content.length;
      if (kept === null) return { text: joined, pieces, end, next };
      first = false;
    }
    if (next >= text.length || (passedOver && first)) return { text: joined, pieces, end, next };
    at = next;
  }
}

/** The line without the escape character that continues it; null if it isn't continued. */
function withoutContinuation(line: string, escapeChar: EscapeCharacter): string | null {
  const trimmed = line.replace(/[ \t]+$/, '');
  if (!trimmed.endsWith(escapeChar) || trimmed.at(-2) === escapeChar) return null;
  return trimmed.slice(0, -1);
}

function readHeredocs(
  line: LogicalLine,
  start: number,
): { heredocs: LogicalLine['heredocs']; end: number; next: number } {
  const heredocs: { opener: HeredocOpener; heredoc: Heredoc }[] = [];
  let next = start;
  let end = line.end;
  for (const opener of openersOf(line)) {
    const body = readBody(line.file.text, next, opener);
    const at = spanOf(line, opener.start, opener.end);
    if (!body) {
      throw new BuildError('HEREDOC_UNTERMINATED', {
        message: `the heredoc ${opener.name} never ends`,
        hint: `end it with a line that is exactly ${opener.name}`,
        at,
      });
    }
    const raw = line.file.text.slice(next, body.end);
    const content = opener.stripTabs ? raw.replace(/^\t+/gm, '') : raw;
    heredocs.push({ opener, heredoc: { name: opener.name, expand: opener.expand, content, raw, at } });
    next = body.next;
    end = body.end + body.terminatorLength;
  }
  return { heredocs, end, next };
}

/** Only RUN, COPY and ADD read heredocs, also behind ONBUILD, and not in their JSON form. */
function openersOf(line: LogicalLine): HeredocOpener[] {
  if (!line.text.includes('<<')) return [];
  const keyword = /^(?:ONBUILD\s+)?(?:RUN|COPY|ADD)\s+/i.exec(line.text);
  if (!keyword) return [];
  const openers = findHeredocs(line.text, keyword[0].length);
  if (openers.length === 0 || parseStringArray(line.text, splitFlags(line, keyword[0].length).rest).kind === 'array') {
    return [];
  }
  return openers;
}

function readBody(
  text: string,
  start: number,
  opener: HeredocOpener,
): { end: number; terminatorLength: number; next: number } | null {
  for (let at = start; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    const next = newline < 0 ? text.length : newline + 1;
    const line = text.slice(at, newline < 0 ? text.length : newline).replace(/\r+$/, '');
    if ((opener.stripTabs ? line.replace(/^\t+/, '') : line) === opener.name) {
      return { end: at, terminatorLength: line.length, next };
    }
    at = next;
  }
  return null;
}
