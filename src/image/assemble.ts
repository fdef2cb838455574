// Planned config + solved layers → image config. Pure.
import type { DiffId, HistoryEntry, ImageConfig } from '#store';
import type { BuildGraph } from '../graph/index.js';

/** When each vertex of the result's chain was made, and whether it added a layer. */
export type VertexOutcome = (vertex: number) => { readonly layer: DiffId | null; readonly createdMs: number };

/**
 * The config of the built image. Times come from when each step really ran, so that an unchanged rebuild gives the
 * same bytes: instructions without a layer take the time of the entry before them.
 *
 * @param stack layers of the result, base first
 * @param base config of the image that the result's chain starts from
 * @see OCI image-spec v1.1, config.md
 */
export function assembleConfig(
  graph: BuildGraph,
  stack: readonly DiffId[],
  base: ImageConfig | null,
  outcomeOf: VertexOutcome,
  nowMs: number,
): ImageConfig {
  let last = base?.created;
  const own: HistoryEntry[] = graph.history.map((line) => {
    const outcome = line.vertex === null ? null : outcomeOf(line.vertex);
    if (outcome) last = new Date(outcome.createdMs).toISOString();
    return {
      ...(last === undefined ? {} : { created: last }),
      created_by: line.createdBy,
      ...(line.comment === '' ? {} : { comment: line.comment }),
      ...(outcome?.layer ? {} : { empty_layer: true }),
    };
  });
  const { platform } = graph;
  return {
    created: last ?? new Date(nowMs).toISOString(),
    ...(graph.author === undefined ? {} : { author: graph.author }),
    architecture: platform.architecture,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    os: platform.os,
    config: graph.config,
    rootfs: { type: 'layers', diff_ids: stack },
    history: [...baseHistory(base), ...own],
  };
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
