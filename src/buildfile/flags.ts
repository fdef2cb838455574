// The `--name=value` words between an instruction's keyword and its arguments.
//
// Where they lie is ours to say: BuildKit lets quotes and escapes stand anywhere in them. What each consists of is
// dockerfile-ast's, on a copy of the text in which whatever was quoted or escaped is masked, so that offsets stay valid
// and nothing in it can mislead the library. It is asked only for instructions that have flags: for all of a file it
// costs more than the rest of parsing together.
import type { ModifiableInstruction } from 'dockerfile-ast';
import { BuildError, closest, type Span } from '../base/index.js';
import { parseAst } from './ast.js';
import { isBlank, skipBlanks } from './blanks.js';
import { type LogicalLine, spanOf } from './logical-line.js';
import type { Keyword, Switch, Word } from './types.js';

/** Flags by name; one that may be repeated keeps its order. */
export interface Flags {
  value(name: string): Word | null;
  values(name: string): readonly FlagValue[];
  switch(name: string): Switch | null;
}

export interface FlagValue extends Word {
  /** The value with its quotes and escapes. */
  readonly raw: string;
  /** The whole flag, '--' included. */
  readonly flagAt: Span;
}

type FlagKind = 'value' | 'values' | 'switch';

const known: Partial<Record<Keyword, Readonly<Record<string, FlagKind>>>> = {
  FROM: { platform: 'value' },
  RUN: { mount: 'values', network: 'value', security: 'value', device: 'values' },
  COPY: { from: 'value', chown: 'value', chmod: 'value', link: 'switch', parents: 'switch', exclude: 'values' },
  ADD: {
    chown: 'value',
    chmod: 'value',
    link: 'switch',
    'keep-git-dir': 'switch',
    checksum: 'value',
    unpack: 'switch',
    exclude: 'values',
  },
  INCLUDE: { from: 'value' },
  HEALTHCHECK: {
    interval: 'value',
    timeout: 'value',
    'start-period': 'value',
    'start-interval': 'value',
    retries: 'value',
  },
};

/**
 * Reads the flags of the instruction whose arguments begin at `start`.
 * @returns rest: where the arguments after them begin
 * @throws BuildError UNKNOWN_FLAG, FLAG_INVALID
 */
export function parseFlags(line: LogicalLine, start: number, keyword: Keyword): { flags: Flags; rest: number } {
  const { words, rest } = splitFlags(line, start);
  if (words.length === 0) return { flags: noFlags, rest };
  const found = readFlags(line, start, rest, words);
  const kinds = known[keyword] ?? {};
  const seen = new Set<string>();
  for (const flag of found) {
    const kind = Object.hasOwn(kinds, flag.name) ? kinds[flag.name]! : undefined;
    if (!kind) throw unknownFlag(flag, keyword, kinds);
    if (seen.has(flag.name) && kind !== 'values') {
      throw new BuildError('FLAG_INVALID', { message: `--${flag.name} is given twice`, at: flag.flagAt });
    }
    seen.add(flag.name);
    checkValue(flag, kind);
  }
  const named = (name: string): FoundFlag[] => found.filter((flag) => flag.name === name);
  const values = (name: string): FlagValue[] => named(name).map((flag) => ({ ...flag, text: flag.text ?? '' }));
  return {
    flags: {
      values,
      value: (name) => values(name)[0] ?? null,
      switch: (name) =>
        named(name).map((flag) => ({ on: flag.text?.toLowerCase() !== 'false', at: flag.flagAt }))[0] ?? null,
    },
    rest,
  };
}

const noFlags: Flags = { value: () => null, values: () => [], switch: () => null };

/** The words that are flags, and where the arguments after them begin. A bare '--' ends them. */
export function splitFlags(
  line: LogicalLine,
  start: number,
): { words: readonly { readonly start: number; readonly end: number }[]; rest: number } {
  const { text } = line;
  const words: { start: number; end: number }[] = [];
  let at = skipBlanks(text, start);
  while (text.startsWith('--', at)) {
    const end = endOfFlag(line, at);
    if (end === at + 2) return { words, rest: skipBlanks(text, end) };
    words.push({ start: at, end });
    at = skipBlanks(text, end);
  }
  return { words, rest: at };
}

interface FoundFlag {
  readonly name: string;
  /** Null without '='. */
  readonly text: string | null;
  readonly raw: string;
  readonly at: Span;
  readonly flagAt: Span;
}

function readFlags(
  line: LogicalLine,
  start: number,
  end: number,
  words: readonly { readonly start: number; readonly end: number }[],
): FoundFlag[] {
  const carrier = 'RUN ';
  const shift = start - carrier.length;
  const [instruction] = parseAst(
    carrier + masked(line.text, start, end, words),
    spanOf(line, start, end),
  ).getInstructions();
  const flags = (instruction as ModifiableInstruction).getFlags();
  return flags.map((flag) => {
    const range = flag.getRange();
    const valueRange = flag.getValueRange();
    const flagAt = spanOf(line, shift + range.start.character, shift + range.end.character);
    const name = flag.getName();
    if (!valueRange) return { name, text: null, raw: '', at: flagAt, flagAt };
    const from = shift + valueRange.start.character;
    const to = shift + valueRange.end.character;
    const raw = line.text.slice(from, to);
    return { name, text: unquoteFlag(raw), raw, at: from === to ? flagAt : spanOf(line, from, to), flagAt };
  });
}

/** The flags as plain words of the same length. */
function masked(
  text: string,
  start: number,
  end: number,
  words: readonly { readonly start: number; readonly end: number }[],
): string {
  let result = '';
  for (const word of words) {
    result = result.padEnd(word.start - start, ' ');
    const flag = text.slice(word.start, word.end);
    if (!/['"\\]/.test(flag)) {
      result += flag.replace(/[^\w=-]/g, '_');
      continue;
    }
    for (let at = word.start; at < word.end; ) {
      const next = endOfUnit(text, at);
      const unit = text.slice(at, next);
      result += /^[\w=-]$/.test(unit) ? unit : '_'.repeat(next - at);
      at = next;
    }
  }
  return result.padEnd(end - start, ' ');
}

function endOfFlag(line: LogicalLine, start: number): number {
  const { text } = line;
  let at = start;
  while (at < text.length && !isBlank(text.charCodeAt(at))) {
    const next = endOfUnit(text, at);
    if (next > text.length) {
      throw new BuildError('FLAG_INVALID', {
        message: `a quote in this flag is never closed`,
        at: spanOf(line, start, text.length),
      });
    }
    at = next;
  }
  return at;
}

/** Offset after one character, one escaped character or one quoted text; beyond the text's end if a quote never closes. */
function endOfUnit(text: string, start: number): number {
  const char = text[start]!;
  if (char === '\\') return Math.min(start + 2, text.length);
  if (char !== "'" && char !== '"') return start + 1;
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === char) return at + 1;
    if (text[at] === '\\') at++;
  }
  return text.length + 1;
}

/** A flag's value without quotes and escapes. In flags a backslash escapes everywhere, whatever the escape directive says. */
export function unquoteFlag(raw: string): string {
  let result = '';
  for (let at = 0; at < raw.length; ) {
    const next = Math.min(endOfUnit(raw, at), raw.length);
    const char = raw[at]!;
    if (char === '\\') result += raw.slice(at + 1, next);
    else if (char === "'" || char === '"') result += raw.slice(at + 1, next - 1).replace(/\\(.)/gs, '$1');
    else result += char;
    at = next;
  }
  return result;
}

function checkValue(flag: FoundFlag, kind: FlagKind): void {
  if (kind === 'switch') {
    if (flag.text === null || /^(true|false)$/i.test(flag.text)) return;
    throw new BuildError('FLAG_INVALID', {
      message: `--${flag.name} is true or false, not ${JSON.stringify(flag.text)}`,
      at: flag.at,
    });
  }
  if (flag.text === null) {
    throw new BuildError('FLAG_INVALID', {
      message: `--${flag.name} needs a value`,
      hint: `write --${flag.name}=VALUE`,
      at: flag.flagAt,
    });
  }
}

function unknownFlag(flag: FoundFlag, keyword: Keyword, kinds: Readonly<Record<string, FlagKind>>): BuildError {
  const names = Object.keys(kinds);
  const near = closest(flag.name, names);
  return new BuildError('UNKNOWN_FLAG', {
    message: `${keyword} has no flag --${flag.name}`,
    hint: near
      ? `did you mean --${near}?`
      : names.length > 0
        ? `its flags are ${names.map((name) => `--${name}`).join(', ')}`
        : `${keyword} takes no flags; write '${keyword} -- ${flag.name.startsWith('-') ? '' : '--'}${flag.name} …' if it is an argument`,
    at: flag.flagAt,
  });
}
