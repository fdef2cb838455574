// Parser directives: the '# key=value' comments at the very top. dockerfile-ast reads them; what they mean is here.
import { BuildError, type SourceFile } from '../base/index.js';
import { parseAst } from './ast.js';
import type { Directive, EscapeCharacter } from './types.js';

/** @throws BuildError DIRECTIVE_INVALID, FRONTEND_NOT_SUPPORTED */
export function parseDirectives(file: SourceFile): { directives: Directive[]; escapeChar: EscapeCharacter } {
  const start = file.text.startsWith('\uFEFF') ? 1 : 0;
  const directives = readDirectives(file, start, headerEnd(file.text, start));
  // A script line may stand above the syntax directive; then nothing else is a directive.
  const below = file.text.startsWith('#!', start) ? file.text.indexOf('\n', start) + 1 : 0;
  const syntax = below > 0 ? readDirectives(file, below, headerEnd(file.text, below)) : directives;
  for (const directive of syntax) if (directive.name === 'syntax') requireOwnFrontend(directive);
  requireNoForeignHeader(file, start);

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
  return { directives, escapeChar };
}

function readDirectives(file: SourceFile, start: number, end: number): Directive[] {
  const header = file.text.slice(start, end);
  if (!header.includes('=')) return [];
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
function headerEnd(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    const newline = text.indexOf('\n', at);
    const next = newline < 0 ? text.length : newline + 1;
    if (!/^[ \t]*#/.test(text.slice(at, Math.min(next, at + 1024)))) break;
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

function requireOwnFrontend(directive: Directive): void {
  const frontend = directive.value.split(/\s/, 1)[0]!;
  if (!ownFrontend.test(frontend)) throw foreignFrontend(frontend, directive.at);
}

/** '// syntax=…' is how files in other languages name their frontend. */
function requireNoForeignHeader(file: SourceFile, start: number): void {
  const match = /^\/\/[ \t]*syntax[ \t]*=[ \t]*(\S+)/i.exec(file.text.slice(start, start + 1024));
  if (!match) return;
  throw foreignFrontend(match[1]!, {
    file,
    start: start + match[0].length - match[1]!.length,
    end: start + match[0].length,
  });
}

function foreignFrontend(frontend: string, at: Directive['at']): BuildError {
  return new BuildError('FRONTEND_NOT_SUPPORTED', {
    message: `this file asks for the frontend ${frontend}, which tsbuild does not run`,
    hint: 'tsbuild builds the language of docker/dockerfile:1; remove the syntax line if the file is written in it',
    at,
  });
}
