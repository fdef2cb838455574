// UndefinedVar.
import { nearest } from '../base/index.js';
import type { ExpandOptions, Heredoc, Instruction, Word } from '../buildfile/index.js';
import type { PlanStep } from '../graph/index.js';
import { placeOf, type StepRule, type Subject } from './finding.js';
import { expandRecording, placeOfVariable } from './recorded.js';

/** Nobody reads more; and looking for one compares it with every variable. */
const maxSuggestions = 100;

/** @param unknownBases keys of images whose variables aren't known: what stands on them is not judged */
export function undefinedVar(unknownBases: ReadonlySet<string>): StepRule {
  let suggestions = 0;
  const suggest = (name: string, { env }: PlanStep): string | undefined =>
    suggestions++ < maxSuggestions ? nearest(name, env.keys(), 2) : undefined;
  return function* (step, subject) {
    const { instruction, base } = step;
    if (base !== null && unknownBases.has(base)) return;
    for (const { word, name } of undefinedIn(step, subject)) {
      const near = suggest(name, step);
      yield {
        rule: 'UndefinedVar',
        message: `Usage of undefined variable '$${name}'${near === undefined ? '' : ` (did you mean $${near}?)`}`,
        at: placeOf(step, placeOfVariable(word, name)),
        instruction,
        hint: `define it above with ARG ${name} or ENV ${name}=VALUE`,
      };
    }
  };
}

function* undefinedIn(step: PlanStep, { file, options }: Subject): Iterable<{ word: Word; name: string }> {
  const { instruction, env, args } = step;
  const inWord = function* (word: Word, expandOptions: ExpandOptions): Iterable<{ word: Word; name: string }> {
    if (!word.text.includes('$')) return;
    for (const name of expandRecording(word.text, env, expandOptions).unmatched) {
      if (!args.has(name)) yield { word, name };
    }
  };
  const { escapeChar } = file;
  for (const word of wordsOf(instruction)) yield* inWord(word, { escapeChar });
  for (const heredoc of heredocsOf(instruction)) {
    yield* inWord({ text: heredoc.content, at: heredoc.at }, { escapeChar: '\\', ignoreQuotes: true });
  }
  if (instruction.keyword !== 'ARG') return;
  const before = new Set<string>();
  for (const { name: own, value } of instruction.args) {
    if (value !== null && !options.buildArgs.has(own)) {
      for (const found of inWord(value, { escapeChar })) if (!before.has(found.name)) yield found;
    }
    before.add(own);
  }
}

/** The words that are expanded one by one; those of EXPOSE are too, but the field doesn't look there. */
function wordsOf(instruction: Instruction): readonly Word[] {
  switch (instruction.keyword) {
    case 'ENV':
    case 'LABEL':
      return instruction.pairs.flatMap(({ name, value }) => [name, value]);
    case 'COPY':
    case 'ADD':
      return [
        ...instruction.sources,
        instruction.dest,
        ...[instruction.chown, instruction.chmod, instruction.checksum].flatMap((word) => word ?? []),
        ...instruction.exclude,
      ];
    case 'RUN':
      return instruction.mounts.flatMap(({ fields }) => fields);
    case 'VOLUME':
      return instruction.words;
    case 'USER':
    case 'WORKDIR':
    case 'STOPSIGNAL':
      return [instruction.value];
    default:
      return [];
  }
}

function heredocsOf(instruction: Instruction): readonly Heredoc[] {
  if (instruction.keyword !== 'COPY' && instruction.keyword !== 'ADD') return [];
  return instruction.inline.filter(({ expand }) => expand);
}
