// Which stages a target needs, and what each of them stands on.
import type { Platform } from '#store';
import { BuildError, closest, type Span } from '../base/index.js';
import { type Buildfile, type Instruction, parseTrigger, type Stage, type Word } from '../buildfile/index.js';
import { type FoundContext, findContext } from './named-context.js';
import { namedOrigins } from './named-origin.js';
import type { BaseImage, BaseRequest, PlanOptions } from './options.js';
import { findTarget, imageRequest, namedStage, type Origin, originOf } from './origin.js';
import { stageNumber } from './stage-number.js';
import { expand, globalVariables } from './variables.js';

/** A stage that the target needs. */
export interface NeededStage {
  readonly stage: Stage;
  readonly base: Origin;
  readonly platform: Platform;
  /** ONBUILD triggers of its base first. */
  readonly instructions: readonly { readonly instruction: Instruction; readonly onbuild: boolean }[];
}

export interface NeededStages {
  /** By stage number; in the order of the file, which has a stage after those it needs. */
  readonly stages: ReadonlyMap<number, NeededStage>;
  readonly target: number;
  readonly globals: ReadonlyMap<string, string>;
  /** Bases that are not known yet; the stages on them may need more than can be told. */
  readonly missing: readonly BaseRequest[];
}

/**
 * The images that the target needs and `known` doesn't have. Ask again with what was found until nothing is missing:
 * a base's ONBUILD triggers can name further images.
 *
 * @throws BuildError STAGE_NOT_FOUND, STAGE_ORDER, STAGE_CYCLE, BASE_INVALID, PLATFORM_INVALID, VARIABLE_INVALID
 */
export function requiredBases(
  file: Buildfile,
  options: PlanOptions,
  known: ReadonlyMap<string, BaseImage> = new Map(),
): BaseRequest[] {
  return [...neededStages(file, options, known).missing];
}

/** @throws BuildError as requiredBases */
export function neededStages(
  file: Buildfile,
  options: PlanOptions,
  known: ReadonlyMap<string, BaseImage>,
): NeededStages {
  const target = findTarget(file, options.target);
  return stagesFrom([target], file, options, known);
}

/** The same as if every stage were needed; the target is the last one. @throws BuildError as requiredBases */
export function allStages(file: Buildfile, options: PlanOptions, known: ReadonlyMap<string, BaseImage>): NeededStages {
  return stagesFrom([...file.stages.keys()], file, options, known);
}

/** @param targets ascending, of which the last is the target */
function stagesFrom(
  targets: readonly number[],
  file: Buildfile,
  options: PlanOptions,
  known: ReadonlyMap<string, BaseImage>,
): NeededStages {
  const globals = globalVariables(file, options);
  const stages = new Map<number, NeededStage>();
  const missing = new Map<string, BaseRequest>();
  const target = targets.at(-1)!;

  // Every origin lies above its user, so the highest number is always next and nothing can recurse.
  const wanted = new Set(targets);
  const want = (origin: Origin): void => {
    if (origin.kind === 'stage') wanted.add(origin.index);
    if (origin.kind === 'image' && !known.has(origin.request.key)) missing.set(origin.request.key, origin.request);
  };
  for (let index = target; index >= 0; index--) {
    if (!wanted.has(index)) continue;
    const stage = file.stages[index]!;
    const base = baseOf(file, stage, options, globals);
    want(base);
    const replaced = stage.from.name !== null && findContext(options, stage.from.name) !== undefined;
    const instructions = replaced ? [] : instructionsOf(file, stage, base, known);
    const scope = { file, options, globals, user: index };
    for (const { instruction } of instructions) {
      for (const from of namedOrigins(instruction)) want(originOf(from, scope));
    }
    stages.set(index, { stage, base, platform: options.platform, instructions });
  }
  const ordered = [...stages].sort(([a], [b]) => a - b);
  const placed = new Map<number, NeededStage>();
  for (const [index, stage] of ordered) {
    placed.set(index, { ...stage, platform: platformOf(stage.base, placed, options) });
  }
  return { stages: placed, target, globals, missing: [...missing.values()] };
}

function baseOf(
  file: Buildfile,
  stage: Stage,
  options: PlanOptions,
  globals: ReadonlyMap<string, string>,
): NeededStage['base'] {
  const { from } = stage;
  const platform = from.platform ? platformFlag(file, from.platform, options, globals) : options.platform;
  const own = from.name === null ? undefined : findContext(options, from.name);
  if (own) return contextBase(file, own, { user: stage.index, at: from.base.at, platform });

  const ref = expand(from.base, (name) => globals.get(name), { escapeChar: file.escapeChar });
  if (ref === '') {
    throw new BuildError('BASE_INVALID', {
      message: `${from.base.text} is empty here`,
      hint: unsetHint(from.base, globals),
      at: from.base.at,
    });
  }
  const earlier = stageNumber(file, ref, stage.index);
  if (earlier >= 0) return { kind: 'stage', index: earlier };
  if (ref === 'scratch') return { kind: 'scratch' };
  const context = findContext(options, ref);
  if (context) return contextBase(file, context, { user: stage.index, at: from.base.at, platform });
  return { kind: 'image', request: imageRequest(file, ref, platform, from.base.at) };
}

function contextBase(
  file: Buildfile,
  context: FoundContext,
  { user, at, platform }: { user: number; at: Span; platform: Platform },
): NeededStage['base'] {
  if (context.stage !== undefined) return { kind: 'stage', index: namedStage(file, context, user, at) };
  if (context.ref === 'scratch') return { kind: 'scratch' };
  if (context.ref !== undefined) {
    return {
      kind: 'image',
      request: { ...imageRequest(file, context.ref, platform, at), similarStage: undefined },
    };
  }
  return { kind: 'directory', name: context.name };
}

function platformFlag(
  file: Buildfile,
  word: Word,
  options: PlanOptions,
  globals: ReadonlyMap<string, string>,
): Platform {
  const text = expand(word, (name) => globals.get(name), { escapeChar: file.escapeChar });
  if (text !== '') return options.parsePlatform(text, word.at);
  throw new BuildError('PLATFORM_INVALID', {
    message: `${word.text} is empty here`,
    hint: unsetHint(word, globals),
    at: word.at,
  });
}

function unsetHint(word: Word, globals: ReadonlyMap<string, string>): string {
  const name = /\$\{?(\w+)/.exec(word.text)?.[1] ?? '';
  const near = closest(name, globals.keys());
  return near && !globals.has(name)
    ? `did you mean ${near}?`
    : 'FROM sees only ARGs that stand before the first FROM; give them a default or --build-arg';
}

/** A stage's platform is that of what it stands on. */
function platformOf(base: Origin, placed: ReadonlyMap<number, NeededStage>, options: PlanOptions): Platform {
  if (base.kind === 'image') return base.request.platform;
  return (base.kind === 'stage' ? placed.get(base.index)?.platform : undefined) ?? options.platform;
}

function instructionsOf(
  file: Buildfile,
  stage: Stage,
  base: Origin,
  known: ReadonlyMap<string, BaseImage>,
): NeededStage['instructions'] {
  const own = stage.instructions.map((instruction) => ({ instruction, onbuild: false }));
  const triggers = triggersOf(file, base, known).map((instruction) => ({ instruction, onbuild: true }));
  return [...triggers, ...own];
}

function triggersOf(file: Buildfile, base: Origin, known: ReadonlyMap<string, BaseImage>): Instruction[] {
  if (base.kind === 'stage') {
    const { instructions } = file.stages[base.index]!;
    return instructions.flatMap((instruction) => (instruction.keyword === 'ONBUILD' ? instruction.trigger : []));
  }
  const image = base.kind === 'image' ? known.get(base.request.key) : undefined;
  const texts = image?.config.config?.OnBuild ?? [];
  return texts.map((text) => parseTrigger({ name: `ONBUILD of ${image!.ref}`, text }));
}
