// Planned config + solved layers → image config. Pure.
import type { DiffId, HistoryEntry, ImageConfig, Platform } from '#store';
import type { BuildGraph } from '../graph/index.js';

/** When each vertex of the result's chain was made, and whether it added a layer. */
export type VertexOutcome = (vertex: number) => { readonly layer: DiffId | null; readonly createdMs: number };

export interface Assembly {
  /** Config of the image that the result's chain starts from. */
  readonly base: ImageConfig | null;
  readonly outcomeOf: VertexOutcome;
  /** SOURCE_DATE_EPOCH: the time of the image and of everything this build did. */
  readonly epochSec: number | null;
}

/**
 * The config of the built image. Times come from when each step really ran, so that an unchanged rebuild gives the
 * same bytes.
 *
 * @param stack layers of the result, base first
 * @see OCI image-spec v1.1, config.md
 */
export function assembleConfig(graph: BuildGraph, stack: readonly DiffId[], assembly: Assembly): ImageConfig {
  const { base, outcomeOf, epochSec } = assembly;
  const outcomes = graph.history.map(({ vertex }) => (vertex === null ? null : outcomeOf(vertex)));
  const times = timesOf(outcomes, base, epochSec);
  const own: HistoryEntry[] = graph.history.map((line, i) => ({
    ...(times[i] === undefined ? {} : { created: times[i] }),
    created_by: line.createdBy,
    ...(line.comment === '' ? {} : { comment: line.comment }),
    ...(outcomes[i]?.layer ? {} : { empty_layer: true }),
  }));
  const { platform } = graph;
  const created = epochSec === null ? (times.at(-1) ?? lastTime(base)) : isoTime(epochSec * 1000);
  return {
    ...(created === undefined ? {} : { created }),
    ...(graph.author === undefined ? {} : { author: graph.author }),
    architecture: platform.architecture,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    os: platform.os,
    ...osOfBase(base, platform),
    config: graph.config,
    rootfs: { type: 'layers', diff_ids: stack },
    history: [...baseHistory(base), ...own],
  };
}

/**
 * When each line was made. One that made no layer has the time of the line before it; at the beginning that of the first
 * that made one, for the time of the base is not this build's.
 */
function timesOf(
  outcomes: readonly (ReturnType<VertexOutcome> | null)[],
  base: ImageConfig | null,
  epochSec: number | null,
): readonly (string | undefined)[] {
  if (epochSec !== null) return outcomes.map(() => isoTime(epochSec * 1000));
  const first = outcomes.find((outcome) => outcome !== null);
  let last = first ? isoTime(first.createdMs) : lastTime(base);
  return outcomes.map((outcome) => {
    if (outcome) last = isoTime(outcome.createdMs);
    return last;
  });
}

function lastTime(base: ImageConfig | null): string | undefined {
  return base?.history?.findLast(({ created }) => created)?.created ?? base?.created;
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

/** What a base for the same system says about it more exactly. */
function osOfBase(base: ImageConfig | null, { os, architecture }: Platform): Partial<ImageConfig> {
  if (base === null || base.os !== os || base.architecture !== architecture) return {};
  const { 'os.version': version, 'os.features': features } = base;
  return { ...(version && { 'os.version': version }), ...(features && { 'os.features': features }) };
}

/** A base without history (a bare root file system) gets one line for each of its layers: entries and layers must add up. */
function baseHistory(base: ImageConfig | null): readonly HistoryEntry[] {
  if (base === null) return [];
  if (base.history?.length) return base.history;
  return base.rootfs.diff_ids.map(() => ({
    ...(base.created ? { created: base.created } : {}),
    comment: 'base layer',
  }));
}
