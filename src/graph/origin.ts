// Where an instruction takes files from: COPY --from, and from= of a mount.
import type { Platform } from '#store';
import { BuildError, closest, errorAt, type Span } from '../base/index.js';
import type { Buildfile, Word } from '../buildfile/index.js';
import { type FoundContext, findContext } from './named-context.js';
import type { NamedOrigin } from './named-origin.js';
import type { BaseRequest, PlanOptions } from './options.js';
import { noSuchNumber, notEarlier } from './stage-errors.js';
import { stageNumber } from './stage-number.js';
import { expand } from './variables.js';

/** Where a stage begins, or where files are copied from. */
export type Origin =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'image'; readonly request: BaseRequest }
  | { readonly kind: 'stage'; readonly index: number }
  /** A named context that is a directory. */
  | { readonly kind: 'directory'; readonly name: string };

/** What decides which origin a name means. */
export interface OriginScope {
  readonly file: Buildfile;
  readonly options: PlanOptions;
  readonly globals: ReadonlyMap<string, string>;
  /** Number of the stage that uses it. */
  readonly user: number;
}

/** @throws BuildError STAGE_NOT_FOUND, STAGE_ORDER, STAGE_CYCLE, VARIABLE_INVALID */
export function originOf({ flag, word }: NamedOrigin, scope: OriginScope): Origin {
  return findOrigin({ text: expandFrom(flag, word, scope), at: word.at }, scope);
}

/** The variables that FROM may use: unlike a stage's own, they are known before any stage is. */
function expandFrom(flag: string, word: Word, { file, globals }: OriginScope): string {
  const lookup = (name: string): string => {
    const value = globals.get(name);
    if (value !== undefined) return value;
    throw new BuildError('VARIABLE_INVALID', {
      message: `${flag} can not use ${name}, which no ARG before the first FROM sets`,
      hint: `name the image with 'FROM … AS NAME', and write ${flag}=NAME`,
      at: word.at,
    });
  };
  return expand(word, lookup, { escapeChar: file.escapeChar });
}

function findOrigin(word: Word, { file, options, user }: OriginScope): Origin {
  const name = word.text;
  const index = /^\d+$/.test(name) ? Number(name) : stageNumber(file, name);
  if (index >= file.stages.length) throw noSuchNumber(file, word);
  const context = findContext(options, name);
  if (context?.kind === 'directory') return { kind: 'directory', name: context.name };
  const stage = context?.stage === undefined ? index : namedStage(file, context, user, word.at);
  if (stage >= 0) {
    if (stage >= user) throw notEarlier(file, word, user, stage);
    return { kind: 'stage', index: stage };
  }
  if ((context?.ref ?? name) === 'scratch') return { kind: 'scratch' };
  return { kind: 'image', request: imageRequest(file, context?.ref ?? name, options.platform, word.at) };
}

export function imageRequest(file: Buildfile, ref: string, platform: Platform, at: Span): BaseRequest {
  const similarStage = /[/:@]/.test(ref) ? undefined : closest(ref, stageNames(file));
  return { key: keyOf(ref, platform), ref, platform, at, similarStage };
}

function keyOf(ref: string, { os, architecture, variant }: Platform): string {
  return `${ref} ${os}/${architecture}${variant ? `/${variant}` : ''}`;
}

function stageNames(file: Buildfile): string[] {
  return file.stages.flatMap((stage) => stage.from.name ?? []);
}

/** The stage that stands in for the name: an earlier one, as any that is used. */
export function namedStage(file: Buildfile, { stage }: FoundContext, user: number, at: Span): number {
  const index = foundAt(at, () => findTarget(file, stage));
  if (index >= user) throw notEarlier(file, { text: stage ?? '', at }, user, index);
  return index;
}

function foundAt<T>(at: Span, find: () => T): T {
  try {
    return find();
  } catch (error) {
    throw errorAt(error, at);
  }
}

/** Number of the stage to build; of none, the last. @throws BuildError STAGE_NOT_FOUND */
export function findTarget(file: Buildfile, target: string | undefined): number {
  if (target === undefined || target === '') return file.stages.length - 1;
  const named = stageNumber(file, target);
  if (named >= 0) return named;
  if (/^\d+$/.test(target) && Number(target) < file.stages.length) return Number(target);
  const names = stageNames(file);
  const near = closest(target, names);
  throw new BuildError('STAGE_NOT_FOUND', {
    message: `${file.file.name} has no stage ${target}`,
    hint: near
      ? `did you mean ${near}?`
      : names.length > 0
        ? `its stages are ${names.join(', ')}`
        : 'none of its stages has a name',
  });
}
