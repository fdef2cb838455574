// Buildfile text → logical lines: what the language calls a line, once continuations are joined, comments dropped and
// heredoc bodies taken out. Exact where parser libraries guess; everything after this works on one line of text.
import { BuildError, type SourceFile } from '../base/index.js';
import { skipBlanks } from './blanks.js';
import { splitFlags } from './flags.js';
import { findHeredocs, type HeredocOpener } from './heredoc.js';
import { parseStringArray } from './json-array.js';
import { type LogicalLine, spanOf } from './logical-line.js';
import type { EscapeCharacter, Heredoc, Word } from './types.js';

/**
 * Splits the file from `start` on.
 * @throws BuildError HEREDOC_UNTERMINATED
 */
export function scanLines(file: SourceFile, start: number, escapeChar: EscapeCharacter): LogicalLine[] {
  const lines: LogicalLine[] = [];
  let comments: Word[] = [];
  let at = start;
  while (at < file.text.length) {
    const from = at;
    const joined = joinLine(file.text, at, escapeChar);
    at = joined.next;
    if (skipBlanks(joined.text, 0) === joined.text.length) {
      const comment = commentIn(file, from, at);
      if (comment?.text === '') comments = [];
      else if (comment !== null) comments.push(comment);
      continue;
    }
    const line = {
      file,
      text: joined.text,
      pieces: joined.pieces,
      heredocs: [],
      comments,
      emptyLine: joined.emptyLine,
      end: joined.end,
    };
    const bodies = readHeredocs(line, at);
    at = bodies.next;
    lines.push(bodies.heredocs.length > 0 ? { ...line, heredocs: bodies.heredocs, end: bodies.end } : line);
    comments = [];
  }
  return lines;
}

/** What a line that is no instruction says; null if it is empty. */
function commentIn(file: SourceFile, start: number, next: number): Word | null {
  const hash = skipBlanks(file.text, start);
  if (hash >= next || file.text[hash] !== '#') return null;
  const line = file.text.slice(hash + 1, next);
  const text = line.trim();
  const from = hash + 1 + (line.length - line.trimStart().length);
  return { text, at: { file, start: from, end: from + text.length } };
}

interface JoinedLine {
  readonly text: string;
  readonly pieces: readonly { readonly at: number; readonly from: number }[];
  readonly emptyLine: number | null;
  /** Offset after the last character that belongs to it, and of the next line. */
  readonly end: number;
  readonly next: number;
}

/** One line and those that continue it. Comments and empty lines between them are passed over. */
function joinLine(text: string, start: number, escapeChar: EscapeCharacter): JoinedLine {
  const pieces: { at: number; from: number }[] = [];
  const parts: string[] = [];
  let length = 0;
  let end = start;
  let at = start;
  let emptyLine: number | null = null;
  for (;;) {
    const newline = text.indexOf('\n', at);
    const next = newline < 0 ? text.length : newline + 1;
    const lineEnd = endOfContent(text, at, newline < 0 ? text.length : newline);
    const first = skipBlanks(text, at);
    const passedOver = first >= lineEnd || text[first] === '#';
    if (first >= lineEnd && pieces.length > 0 && at < text.length) emptyLine ??= at;
    if (!passedOver) {
      const from = pieces.length === 0 ? first : at; // blanks before a continued line count: 'a\\' + ' b' is 'a b'
      const content = text.slice(from, lineEnd);
      const kept = withoutContinuation(content, escapeChar);
      pieces.push({ at: length, from });
      parts.push(kept ?? content);
      length += (kept ?? content).length;
      end = lineEnd;
      if (kept === null) return { text: parts.join(''), pieces, emptyLine, end, next };
    }
    if (next >= text.length || (passedOver && pieces.length === 0)) {
      return { text: parts.join(''), pieces, emptyLine, end, next };
    }
    at = next;
  }
}

/** Offset after the line's last character that is no carriage return. */
function endOfContent(text: string, start: number, end: number): number {
  let at = end;
  while (at > start && text.charCodeAt(at - 1) === 0x0d) at--;
  return at;
}

/** The line without the escape character that continues it; null if it isn't continued. */
function withoutContinuation(line: string, escapeChar: EscapeCharacter): string | null {
  let end = line.length;
  while (end > 0 && (line[end - 1] === ' ' || line[end - 1] === '\t')) end--;
  return line[end - 1] === escapeChar && line[end - 2] !== escapeChar ? line.slice(0, end - 1) : null;
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
