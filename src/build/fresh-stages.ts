// --no-cache and --no-cache-filter: which steps are executed whatever the cache has.
import { closest } from '../base/index.js';
import type { Buildfile } from '../buildfile/index.js';
import type { BuildGraph, PlannedStage, Vertex } from '../graph/index.js';
import type { BuildIo, BuildRequest } from './request.js';

/** Tells of each vertex whether its result may come from the cache. */
export function cacheRule(graph: BuildGraph, request: BuildRequest): (vertex: Vertex) => boolean {
  const fresh = graph.stages.filter((stage) => request.freshStages.some((name) => isNamed(stage, name)));
  return ({ id }) => request.useCache && !fresh.some(({ first, end }) => first <= id && id < end);
}

/** A stage that --no-cache-filter names and the Buildfile doesn't have is most likely a slip. */
export function warnUnknownStages(file: Buildfile, { freshStages }: BuildRequest, emit: BuildIo['emit']): void {
  const stages = file.stages.map(({ index, from }) => ({ index, name: from.name }));
  const names = stages.flatMap(({ name }) => name ?? []);
  for (const wanted of freshStages) {
    if (stages.some((stage) => isNamed(stage, wanted))) continue;
    const near = closest(wanted, names);
    emit({
      type: 'warning',
      code: 'STAGE_UNKNOWN',
      message: `--no-cache-filter ${wanted}: the Buildfile has no stage of that name`,
      at: undefined,
      hint: near ? `did you mean ${near}?` : named(names),
    });
  }
}

function isNamed({ name, index }: Pick<PlannedStage, 'name' | 'index'>, wanted: string): boolean {
  return name === wanted.toLowerCase() || String(index) === wanted;
}

function named(names: readonly string[]): string {
  return names.length > 0 ? `its stages are ${names.join(', ')}` : 'none of its stages has a name: use --no-cache';
}
