// Asks the rules: those about the file at once, the others as the plan goes from instruction to instruction.
import type { IgnoreMatcher, Span, Warning } from '../base/index.js';
import { BuildError } from '../base/index.js';
import type { Buildfile, Instruction, Word } from '../buildfile/index.js';
import { type BaseImage, globalVariables, type NeededStages, type PlanOptions, type PlanStep } from '../graph/index.js';
import { invalidBaseImagePlatform } from './base-platform.js';
import { consistentInstructionCasing, fromAsCasing, stageNameCasing } from './casing.js';
import { type CheckOptions, checkOptionsOf, parseCheckOptions } from './check-options.js';
import { jsonArgsRecommended, multipleInstructions } from './commands.js';
import { copyIgnoredFile } from './copy.js';
import { invalidDefinitionDescription, isCheckComment } from './descriptions.js';
import { exposeInvalidFormat, exposeProtoCasing } from './expose.js';
import type { AnyInstruction, FileRule, Finding, Found, StepRule, Subject } from './finding.js';
import { fromPlatformFlagConst, invalidDefaultArgInFrom, redundantTargetPlatform, undefinedArgInFrom } from './from.js';
import { legacyKeyValueFormat, secretsUsed } from './pairs.js';
import { duplicateStageName, reservedStageName } from './stage-names.js';
import { maintainerDeprecated, noEmptyContinuation } from './text.js';
import { undefinedVar } from './variables.js';
import { workdirRelativePath } from './workdir.js';

export interface CheckInput {
  readonly file: Buildfile;
  readonly options: PlanOptions;
  /** Reads the context's ignore file; null if there is none. */
  readonly ignore: () => IgnoreMatcher | null;
  /** Keys of bases whose config could not be had. */
  readonly unknownBases: ReadonlySet<string>;
}

export interface Checks {
  /** For PlanOptions: told of each instruction that is planned. */
  watch(step: PlanStep): void;
  /** Looks at the images that stages stand on. */
  lookAtBases(needed: NeededStages, bases: ReadonlyMap<string, BaseImage>): void;
  /** What was found so far, in the order of the text. */
  findings(): Finding[];
  /** Slips in the options of the checks. */
  readonly warnings: readonly Warning[];
  /** @throws BuildError CHECK_VIOLATED if the options say that findings fail the build, and there are some */
  requireNone(): void;
}

/** What is found in the part of a file that can be read. @throws BuildError CHECK_INVALID */
export function findingsAbove(file: Buildfile, options: PlanOptions): Finding[] {
  const collected = collect(file, options);
  const subject: Subject = { file, options, globals: new Map() };
  for (const rule of lineRules) for (const finding of rule(subject)) collected.add(finding);
  return collected.findings();
}

/** @throws BuildError CHECK_INVALID for options that can't be understood */
export function openChecks({ file, options, ignore, unknownBases }: CheckInput): Checks {
  const { add, findings, config, warnings } = collect(file, options);
  const subject: Subject = { file, options, globals: globalsOf(file, options) };
  for (const rule of fileRules) for (const finding of rule(subject)) add(finding);
  const stepRules = openStepRules(ignore, unknownBases);
  return {
    watch: (step) => {
      for (const rule of stepRules[step.instruction.keyword] ?? []) {
        for (const finding of rule(step, subject)) add(finding);
      }
    },
    lookAtBases: (needed, bases) => {
      for (const finding of invalidBaseImagePlatform(needed, bases)) add(finding);
    },
    findings,
    warnings,
    requireNone: () => {
      const found = findings();
      if (config.error && found.length > 0) throw violated(config, found);
    },
  };
}

interface Collected extends Pick<Checks, 'findings' | 'warnings'> {
  readonly config: CheckOptions;
  /** Keeps what the options ask for. */
  add(found: Found): void;
}

function collect(file: Buildfile, options: PlanOptions): Collected {
  const config = checkOptionsOf(file, options.buildArgs);
  const commented = optionsInComments(file);
  const kept: Finding[] = [];
  const seen = new Set<string>();
  return {
    config,
    warnings: [...config.warnings, ...commented.warnings],
    findings: () => [...kept].sort((a, b) => compare(orderOf(a.at), orderOf(b.at))),
    add: ({ instruction, ...found }) => {
      const own = instruction === null ? undefined : commented.options.get(instruction);
      if (!config.asks(found.rule) && !own?.asksAlso(found.rule)) return;
      if (own?.skips(found.rule)) return;
      const key = `${found.rule} ${found.at.file.name} ${found.at.start} ${found.message}`;
      if (seen.has(key)) return; // a trigger does the same wrong in each stage that it is fired in
      seen.add(key);
      kept.push({ ...found, of: linesOf(found.at, instruction) });
    },
  };
}

/** Those that need no more than what stands above. */
const lineRules: readonly FileRule[] = [
  stageNameCasing,
  fromAsCasing,
  maintainerDeprecated,
  invalidDefinitionDescription,
];

const fileRules: readonly FileRule[] = [
  noEmptyContinuation,
  ...lineRules,
  reservedStageName,
  duplicateStageName,
  consistentInstructionCasing,
  invalidDefaultArgInFrom,
  undefinedArgInFrom,
  redundantTargetPlatform,
  fromPlatformFlagConst,
];

type StepRules = Partial<Record<Instruction['keyword'], readonly StepRule[]>>;

function openStepRules(ignore: CheckInput['ignore'], unknownBases: ReadonlySet<string>): StepRules {
  const variables = undefinedVar(unknownBases);
  const multiple = multipleInstructions();
  const copy = copyIgnoredFile(ignore);
  return {
    ADD: [variables, copy],
    ARG: [variables, secretsUsed],
    CMD: [jsonArgsRecommended, multiple],
    COPY: [variables, copy],
    ENTRYPOINT: [jsonArgsRecommended, multiple],
    ENV: [variables, legacyKeyValueFormat, secretsUsed],
    EXPOSE: [exposeProtoCasing, exposeInvalidFormat],
    HEALTHCHECK: [multiple],
    LABEL: [variables, legacyKeyValueFormat],
    RUN: [variables],
    STOPSIGNAL: [variables],
    USER: [variables],
    VOLUME: [variables],
    WORKDIR: [variables, workdirRelativePath()],
  };
}

/** What FROM may use; nothing where that can't be told, which planning says. */
function globalsOf(file: Buildfile, options: PlanOptions): ReadonlyMap<string, string> {
  try {
    return globalVariables(file, options);
  } catch (error) {
    if (error instanceof BuildError) return new Map();
    throw error;
  }
}

interface OwnOptions {
  skips(rule: Finding['rule']): boolean;
  asksAlso(rule: Finding['rule']): boolean;
}

/** '# check=skip=…' right above an instruction is for that one alone, as with the field. */
function optionsInComments(file: Buildfile): {
  options: ReadonlyMap<AnyInstruction, OwnOptions>;
  warnings: readonly Warning[];
} {
  const options = new Map<AnyInstruction, OwnOptions>();
  const warnings: Warning[] = [];
  for (const [instruction, comments] of file.comments) {
    const comment = comments.find(({ text }) => isCheckComment(text));
    if (comment === undefined) continue;
    const { length } = /^check\s*=\s*/i.exec(comment.text)![0];
    const own = tolerated({
      text: comment.text.slice(length),
      at: { ...comment.at, start: comment.at.start + length },
    });
    warnings.push(...own.warnings);
    const nothingSaid = parseCheckOptions(null);
    options.set(instruction, {
      skips: (rule) => nothingSaid.asks(rule) && !own.asks(rule),
      asksAlso: (rule) => !nothingSaid.asks(rule) && own.asks(rule),
    });
  }
  return { options, warnings };
}

/** A comment is no directive: one that can't be understood changes nothing, but is worth a line. */
function tolerated(text: Word): CheckOptions {
  try {
    return parseCheckOptions(text);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    const warning = { code: error.code, message: error.message, at: error.at ?? text.at, hint: error.hint };
    return { ...parseCheckOptions(null), warnings: [warning] };
  }
}

/** The instruction's text; of one in no file of the author's, the line that brings it. */
function linesOf(at: Span, instruction: AnyInstruction | null): Span {
  return instruction !== null && instruction.at.file === at.file ? instruction.at : at;
}

/** Offsets from the main file inwards: what a fragment holds comes where it is included. */
function orderOf(at: Span): number[] {
  const { includedAt } = at.file;
  return includedAt === undefined ? [at.start] : [...orderOf(includedAt), at.start];
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

function violated({ at }: CheckOptions, found: readonly Finding[]): BuildError {
  const names = [...new Set(found.map(({ rule }) => rule))].sort();
  return new BuildError('CHECK_VIOLATED', {
    message: `lint violation found for rules: ${names.join(', ')}`,
    hint: 'mend what the warnings name, or skip a rule with # check=skip=NAME',
    at,
  });
}
