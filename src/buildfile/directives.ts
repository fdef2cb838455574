// Parser directives: the '# key=value' comments at the very top. dockerfile-ast reads them; what they mean is here.
import { BuildError, type SourceFile } from '../base/index.js';
import { parseAst } from './ast.js';
import { skipBlanks } from './blanks.js';
import type { Directive, EscapeCharacter, Frontend } from './types.js';

/**
 * @param given what the build argument BUILDKIT_SYNTAX says: it decides in place of the file
 * @throws BuildError DIRECTIVE_INVALID, FRONTEND_NOT_SUPPORTED
 */
export function parseDirectives(
  file: SourceFile,
  given?: string,
): { directives: Directive[]; escapeChar: EscapeCharacter; frontend: Frontend | null } {
  const start = file.text.startsWith('\uFEFF') ? 1 : 0;
  const below = file.text.startsWith('#!', start) ? file.text.indexOf('\n', start) + 1 : 0;
  const directives = below > 0 ? belowScriptLine(file, below) : readDirectives(file, start, '#');
  const named = directives.find(({ name }) => name === 'syntax') ?? otherHeader(file, below || start);
  const frontend = given
    ? { name: given, at: undefined }
    : named
      ? { name: firstWord(named.value), at: named.at }
      : null;
  if (frontend && !ownFrontend.test(frontend.name)) throw foreignFrontend(frontend);

  const seen = new Set<string>();
  let escapeChar: EscapeCharacter = '\\';
  for (const directive of directives) {
    if (seen.has(directive.name)) {
      throw new BuildError('DIRECTIVE_INVALID', {
        message: `the ${directive.name} directive is given twice`,
        at: directive.at,
      });
    }
    seen.add(directive.name);
    if (directive.name === 'escape') escapeChar = requireEscape(directive);
  }
  return { directives, escapeChar, frontend };
}

/** A script line ends the directives, but those that are looked for in the whole header still count: the first of each. */
function belowScriptLine(file: SourceFile, start: number): Directive[] {
  const found = readDirectives(file, start, '#');
  return found.filter(({ name }, i) => name !== 'escape' && found.findIndex((other) => other.name === name) === i);
}

/** How files in other languages name their frontend: '// syntax=…', or a member of a JSON object. */
function otherHeader(file: SourceFile, start: number): Directive | undefined {
  const comment = readDirectives(file, start, '//').find(({ name }) => name === 'syntax');
  if (comment || file.text[skipBlanks(file.text, start)] !== '{') return comment;
  try {
    const value: unknown = JSON.parse(file.text.slice(start));
    const syntax = (value as { syntax?: unknown }).syntax;
    const at = file.text.indexOf('"syntax"', start);
    if (typeof syntax !== 'string' || at < 0) return undefined;
    return { name: 'syntax', value: syntax, at: { file, start: at, end: at + '"syntax"'.length } };
  } catch {
    return undefined; // no JSON: some other file that begins with a brace
  }
}

function readDirectives(file: SourceFile, start: number, comment: '#' | '//'): Directive[] {
  const end = headerEnd(file.text, start, comment);
  const text = file.text.slice(start, end);
  if (!text.includes('=')) return [];
  const header = comment === '#' ? text : text.replace(/^([ \t]*)\/\//gm, '$1# ');
  const lineStarts = [0, ...Array.from(header.matchAll(/\r\n|\r|\n/g), (match) => match.index + match[0].length)];
  const directives: Directive[] = [];
  // The library takes a blank in or after a value for the end of all directives, and one in a name for the name's end.
  const masked = header.replace(
    /^([^=\n]*=[ \t]*)(.*)$/gm,
    (_, key: string, value: string) => key + value.replace(/[ \t]/g, '_'),
  );
  for (const directive of parseAst(masked, { file, start, end }).getDirectives()) {
    const name = directive.getName().toLowerCase();
    const { end: nameEnd } = directive.getNameRange();
    // The first comment that is no directive ends them, and a name we don't know makes it a comment.
    if (name !== 'syntax' && name !== 'escape' && name !== 'check') break;
    const offset = (position: { line: number; character: number }): number =>
      start + (lineStarts[position.line] ?? 0) + position.character;
    if (!/^[ \t]*=/.test(file.text.slice(offset(nameEnd), offset(nameEnd) + 256))) break;
    const from = offset(directive.getValueRange().start);
    const lineEnd = file.text.indexOf('\n', from);
    const value = file.text.slice(from, lineEnd < 0 ? file.text.length : lineEnd).trimEnd();
    if (value === '') break;
    directives.push({ name, value, at: { file, start: from, end: from + value.length } });
  }
  return directives;
}

/** Offset after the leading lines that are comments. */
function headerEnd(text: string, start: number, comment: '#' | '//'): number {
  let at = start;
  while (at < text.length) {
    const newline = text.indexOf('\n', at);
    const next = newline < 0 ? text.length : newline + 1;
    const first = skipBlanks(text, at);
    if (first >= next || !text.startsWith(comment, first)) break;
    at = next;
  }
  return at;
}

function requireEscape(directive: Directive): EscapeCharacter {
  if (directive.value === '\\' || directive.value === '`') return directive.value;
  throw new BuildError('DIRECTIVE_INVALID', {
    message: `the escape character is \\ or \`, not ${directive.value}`,
    at: directive.at,
  });
}

const ownFrontend =
  /^(?:(?:docker\.io\/)?docker\/dockerfile(?:-upstream)?(?::(?:1(?:\.\d+)*(?:-[\w.-]+)?|latest|labs|experimental|master(?:-[\w.-]+)?))?(?:@sha256:[0-9a-f]{64})?|dockerfile\.v0)$/;

function firstWord(text: string): string {
  return text.split(/\s/, 1)[0]!;
}

function foreignFrontend({ name, at }: Frontend): BuildError {
  return new BuildError('FRONTEND_NOT_SUPPORTED', {
    message: `${at ? 'this file' : 'BUILDKIT_SYNTAX'} asks for the frontend ${name}, which tsbuild does not run`,
    hint: at
      ? 'tsbuild builds the language of docker/dockerfile:1; remove the syntax line if the file is written in it'
      : 'tsbuild builds the language of docker/dockerfile:1; leave that build argument out',
    at,
  });
}
