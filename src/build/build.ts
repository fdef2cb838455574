// The spine: Buildfile → instructions → bases → graph → layers → image. Calls the stages in order, and nothing else.
import { availableParallelism } from 'node:os';
import type { Host } from '#native';
import { type Lease, openLease, putImage, type StoredImage, tagImage } from '#store';
import { unlessInterrupted } from '../base/index.js';
import type { BuildGraph } from '../graph/index.js';
import { assembleConfig } from '../image/index.js';
import { type Solved, solve } from '../solver/index.js';
import { loadBases } from './bases.js';
import { openEffects } from './effects.js';
import { resolveEpoch } from './epoch.js';
import { parseRequested } from './fragments.js';
import { cacheRule, warnUnknownStages } from './fresh-stages.js';
import { planChecked } from './plan-checked.js';
import { planOptions } from './plan-options.js';
import type { BuildIo, BuildRequest } from './request.js';
import { rewriteTimestamps } from './rewrite-timestamps.js';

/**
 * Builds, names and stores one image.
 *
 * @throws BuildError, StoreError, SystemError: whatever is thrown, the store's images and tags are as before; finished
 *   steps stay in the cache
 */
export async function buildImage(request: BuildRequest, io: BuildIo): Promise<StoredImage> {
  const startedMs = performance.now();
  let host: Host | undefined;
  const openHost = async (): Promise<Host> => {
    host = await io.openHost();
    return host;
  };
  const lease = await openLease(io.store, `build ${request.buildfile.name}`, () => host);
  try {
    const image = await build(request, { ...io, openHost }, lease);
    for (const tag of request.tags) tagImage(io.store, tag, image.digest);
    const durationMs = performance.now() - startedMs;
    io.emit({ type: 'build-done', digest: image.digest, tags: request.tags, durationMs });
    return image;
  } finally {
    await lease.release();
  }
}

async function build(request: BuildRequest, io: BuildIo, lease: Lease): Promise<StoredImage> {
  const file = parseRequested(request);
  if (file.frontend) io.emit({ type: 'frontend', name: file.frontend.name });
  const options = await resolveEpoch(file, planOptions(request), request, io);
  const bases = await unlessInterrupted(loadBases(file, options, { request, io, lease }), io.signal);
  const graph = withNetwork(planChecked(file, options, bases, { request, io }), request.network);
  announce(graph, request, io);
  warnUnknownStages(file, request, io.emit);

  const effects = openEffects({ graph, request, io, lease, bases });
  try {
    const solved = await solve(graph, effects, {
      useCache: cacheRule(graph, request),
      parallelism: Math.max(2, availableParallelism()),
      emit: io.emit,
      signal: io.signal,
    });
    const result = outcome(solved, graph.result);
    const base = graph.base === null ? null : (bases.get(graph.base)?.config ?? null);
    const epochSec = options.epochSec ?? null;
    const stack =
      request.rewriteTimestamp && epochSec !== null
        ? await rewriteTimestamps(result.stack, base?.rootfs.diff_ids.length ?? 0, epochSec, { io, lease })
        : result.stack;
    const config = assembleConfig(graph, stack, { base, outcomeOf: (vertex) => outcome(solved, vertex), epochSec });
    return await putImage(io.store, lease, { config, annotations: Object.fromEntries(request.annotations) });
  } finally {
    await effects.close();
  }
}

/** Steps that name no network get the build's; it is part of their key. */
function withNetwork(graph: BuildGraph, network: BuildRequest['network']): BuildGraph {
  const vertices = graph.vertices.map((vertex) =>
    vertex.kind === 'run' && vertex.network === 'default' ? { ...vertex, network } : vertex,
  );
  return { ...graph, vertices };
}

function announce(graph: BuildGraph, request: BuildRequest, io: BuildIo): void {
  io.emit({ type: 'build-start', buildfile: request.buildfile.name, vertices: graph.vertices.length });
  for (const warning of graph.warnings) io.emit({ type: 'warning', ...warning });
}

function outcome(solved: ReadonlyMap<number, Solved>, vertex: number): Solved {
  const result = solved.get(vertex);
  if (result === undefined) throw new Error(`vertex ${vertex} was not solved`);
  return result;
}
