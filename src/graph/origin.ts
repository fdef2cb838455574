// Where an instruction takes files from: COPY --from, and from= of a mount.
import type { Platform } from '#store';
import { BuildError, closest, type Span } from '../base/index.js';
import type { Buildfile, Word } from '../buildfile/index.js';
import { findContext } from './named-context.js';
import type { NamedOrigin } from './named-origin.js';
import type { BaseRequest, PlanOptions } from './options.js';
import { noSuchNumber, notEarlier } from './stage-errors.js';
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
  const index = /^\d+$/.test(name)
    ? Number(name)
    : file.stages.findLastIndex((stage) => stage.from.name === name.toLowerCase());
  if (index >= file.stages.length) throw noSuchNumber(file, word);
  const context = findContext(options, name);
  if (context?.kind === 'directory') return { kind: 'directory', name: context.name };
  if (index >= 0) {
    if (index >= user) throw notEarlier(file, word, user, index);
    return { kind: 'stage', index };
  }
  if (name === 'scratch') return { kind: 'scratch' };
  return { kind: 'image', request: imageRequest(file, context?.ref ?? name, options.platform, word.at) };
}

export function imageRequest(file: Buildfile, ref: string, platform: Platform, at: Span): BaseRequest {
  const similarStage = /[/:@]/.test(ref) ? undefined : closest(ref, stageNames(file));
  return { key: keyOf(ref, platform), ref, platform, at, similarStage };
}

function keyOf(ref: string, { os, architecture, variant }: Platform): string {
  return `${ref} ${os}/${architecture}${variant ? `/${variant}` : ''}`;
}

export function stageNames(file: Buildfile): string[] {
  return file.stages.flatMap((stage) => stage.from.name ?? []);
}
