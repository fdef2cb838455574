// One logical line → one typed instruction.
import { BuildError, closest } from '../base/index.js';
import { endOfWord, skipBlanks } from './blanks.js';
import { parseCommandLine } from './command.js';
import { parseCopy } from './copy.js';
import { parseFlags } from './flags.js';
import { parseHealthcheck } from './healthcheck.js';
import { parseInclude } from './include.js';
import { fail, type InstructionText, jsonOrWords } from './instruction-text.js';
import { parseStringArray } from './json-array.js';
import { type LogicalLine, spanOf } from './logical-line.js';
import { splitMount } from './mount.js';
import {
  type ArgInstruction,
  type EscapeCharacter,
  type FromInstruction,
  type IncludeInstruction,
  type Instruction,
  type Keyword,
  keywords,
  type PairsInstruction,
  type Word,
} from './types.js';
import { blankWords, quotedWords, restOfLine } from './words.js';

const keywordOf = new Map<string, Keyword>(keywords.map((keyword) => [keyword, keyword]));

type AnyInstruction = Instruction | FromInstruction | IncludeInstruction;

/** @throws BuildError UNKNOWN_INSTRUCTION, ARGUMENTS_INVALID, UNKNOWN_FLAG, … */
export function parseInstruction(line: LogicalLine, from: number, escapeChar: EscapeCharacter): AnyInstruction {
  const start = skipBlanks(line.text, from);
  const name = line.text.slice(start, endOfWord(line.text, start));
  const keyword = keywordOf.get(name.toUpperCase());
  if (!keyword) throw unknownInstruction(line, start, name);
  const { flags, rest } = parseFlags(line, start + name.length, keyword);
  const at = { file: line.file, start: spanOf(line, start, start).start, end: line.end };
  const source = line.text.slice(start).trimEnd();
  return parseArguments({ line, keyword, flags, start, rest, escapeChar, at, source }, keyword);
}

function parseArguments(text: InstructionText, keyword: Keyword): AnyInstruction {
  switch (keyword) {
    case 'FROM':
      return parseFrom(text);
    case 'ARG':
      return parseArg(text);
    case 'ENV':
    case 'LABEL':
      return parsePairs(text, keyword);
    case 'RUN':
      return {
        at: text.at,
        source: text.source,
        keyword,
        command: parseCommandLine(text),
        mounts: text.flags.values('mount').map((flag) => ({ fields: splitMount(flag), at: flag.at })),
        network: text.flags.value('network'),
        security: text.flags.value('security'),
        devices: text.flags.values('device'),
      };
    case 'CMD':
    case 'ENTRYPOINT':
      return { at: text.at, source: text.source, keyword, command: parseCommandLine(text) };
    case 'COPY':
    case 'ADD':
      return parseCopy(text, keyword);
    case 'EXPOSE':
      return { at: text.at, source: text.source, keyword, words: atLeastOne(text, blankWords(text.line, text.rest)) };
    case 'VOLUME':
      return { at: text.at, source: text.source, keyword, words: atLeastOne(text, jsonOrWords(text)) };
    case 'USER':
    case 'WORKDIR':
    case 'STOPSIGNAL':
    case 'MAINTAINER':
      return {
        at: text.at,
        source: text.source,
        keyword,
        value: restOfLine(text.line, text.rest) ?? fail(text, `${keyword} needs a value`),
      };
    case 'SHELL':
      return parseShell(text);
    case 'HEALTHCHECK':
      return parseHealthcheck(text);
    case 'INCLUDE':
      return parseInclude(text);
    case 'ONBUILD':
      return parseOnbuild(text);
  }
}

function parseFrom(text: InstructionText): FromInstruction {
  const words = blankWords(text.line, text.rest);
  const [base, as, name] = words;
  if (!base) return fail(text, 'FROM needs an image', "write 'FROM scratch' to start from nothing");
  const platform = text.flags.value('platform');
  if (words.length === 1) {
    return { at: text.at, source: text.source, keyword: 'FROM', base, platform, name: null, as: null };
  }
  if (words.length !== 3 || as?.text.toUpperCase() !== 'AS' || !name) {
    throw new BuildError('ARGUMENTS_INVALID', {
      message: 'FROM takes an image and perhaps a name for the stage',
      hint: `write 'FROM ${base.text} AS NAME'`,
      at: as!.at,
    });
  }
  const stage = name.text.toLowerCase();
  if (!/^[a-z][a-z0-9-_.]*$/.test(stage)) {
    throw new BuildError('STAGE_NAME_INVALID', {
      message: `${JSON.stringify(name.text)} can not be the name of a stage`,
      hint: "a name begins with a letter and has letters, digits, '-', '_' and '.'",
      at: name.at,
    });
  }
  return { at: text.at, source: text.source, keyword: 'FROM', base, platform, name: stage, as: { keyword: as, name } };
}

function parseArg(text: InstructionText): ArgInstruction {
  const { line } = text;
  const words = atLeastOne(text, quotedWords(line, text.rest, text.escapeChar));
  const args = words.map((word) => {
    const equals = word.text.indexOf('=');
    const name = equals < 0 ? word.text : word.text.slice(0, equals);
    const at = spanOf(line, word.start, word.end);
    if (name === '') throw new BuildError('ARGUMENTS_INVALID', { message: 'ARG needs a name before =', at });
    const value = equals < 0 ? null : valueWord(line, word, equals);
    return { name, value, at };
  });
  return { at: text.at, source: text.source, keyword: 'ARG', args };
}

function parsePairs(text: InstructionText, keyword: 'ENV' | 'LABEL'): PairsInstruction {
  const { line } = text;
  const words = atLeastOne(text, quotedWords(line, text.rest, text.escapeChar));
  const first = words[0]!;
  if (!first.text.includes('=')) {
    // The old form, 'ENV name value': the value is the rest of the line.
    const name = /\S+/.exec(line.text.slice(first.start))![0];
    const value = restOfLine(line, first.start + name.length);
    if (!value) fail(text, `${keyword} ${name} has no value`, `write ${keyword} ${name}=VALUE`);
    return {
      at: text.at,
      source: text.source,
      keyword,
      pairs: [{ name: { text: name, at: spanOf(line, first.start, first.start + name.length) }, value }],
      oldForm: true,
    };
  }
  const pairs = words.map((word) => {
    const equals = word.text.indexOf('=');
    const at = spanOf(line, word.start, word.end);
    if (equals < 0) {
      throw new BuildError('ARGUMENTS_INVALID', {
        message: `${word.text} has no =`,
        hint: `write ${keyword} NAME=VALUE, with the value in quotes if it has blanks`,
        at,
      });
    }
    if (equals === 0) throw new BuildError('ARGUMENTS_INVALID', { message: `${keyword} needs a name before =`, at });
    const name = { text: word.text.slice(0, equals), at: spanOf(line, word.start, word.start + equals) };
    return { name, value: valueWord(line, word, equals) };
  });
  return { at: text.at, source: text.source, keyword, pairs, oldForm: false };
}

function valueWord(line: LogicalLine, word: { text: string; start: number; end: number }, equals: number): Word {
  const from = word.start + equals + 1;
  return {
    text: word.text.slice(equals + 1),
    at: from < word.end ? spanOf(line, from, word.end) : spanOf(line, word.start, word.end),
  };
}

function parseShell(text: InstructionText): Extract<Instruction, { keyword: 'SHELL' }> {
  const array = parseStringArray(text.line.text, text.rest);
  if (array.kind !== 'array' || array.items.length === 0) {
    return fail(text, 'SHELL needs a JSON array of strings', 'write it as in SHELL ["/bin/bash", "-c"]');
  }
  return { at: text.at, source: text.source, keyword: 'SHELL', args: array.items.map((item) => item.text) };
}

function parseOnbuild(text: InstructionText): Extract<Instruction, { keyword: 'ONBUILD' }> {
  const { line } = text;
  if (!restOfLine(line, text.rest)) return fail(text, 'ONBUILD needs an instruction');
  const trigger = parseInstruction(line, text.rest, text.escapeChar);
  const { keyword } = trigger;
  if (keyword === 'FROM' || keyword === 'ONBUILD' || keyword === 'MAINTAINER' || keyword === 'INCLUDE') {
    throw new BuildError('ARGUMENTS_INVALID', {
      message: `${keyword} can not be an ONBUILD trigger`,
      at: spanOf(line, text.rest, text.rest + keyword.length),
    });
  }
  const bodies = line.heredocs.map(({ heredoc }) => `\n${heredoc.raw}${heredoc.name}`);
  return {
    at: text.at,
    source: text.source,
    keyword: 'ONBUILD',
    trigger,
    text: line.text.slice(skipBlanks(line.text, text.rest)) + bodies.join(''),
  };
}

function atLeastOne<T>(text: InstructionText, words: T[]): T[] {
  return words.length > 0 ? words : fail(text, `${text.keyword} needs at least one argument`);
}

function unknownInstruction(line: LogicalLine, start: number, name: string): BuildError {
  const near = closest(name, keywords);
  return new BuildError('UNKNOWN_INSTRUCTION', {
    message: `unknown instruction ${name.length > 40 ? `${name.slice(0, 40)}…` : name}`,
    hint: near
      ? `did you mean ${near}?`
      : "if it belongs to the line above, end that line with the escape character (normally '\\')",
    at: spanOf(line, start, start + name.length),
  });
}
