// The spine: Buildfile → instructions → bases → graph → layers → image. Calls the stages in order, and nothing else.
import { availableParallelism } from 'node:os';
import type { Host } from '#native';
import { type DiffId, type Lease, openLease } from '#store';
import { unlessInterrupted } from '../base/index.js';
import type { BuildGraph } from '../graph/index.js';
import { assembleConfig } from '../image/index.js';
import { type Solved, solve } from '../solver/index.js';
import { type Describe, openDescription, openStatements } from './attest.js';
import { loadBases } from './bases.js';
import { openEffects } from './effects.js';
import { resolveEpoch } from './epoch.js';
import { fetchSource } from './fetch-source.js';
import { parseRequested } from './fragments.js';
import { cacheRule, warnUnknownStages } from './fresh-stages.js';
import { openJournal } from './journal.js';
import type { Result } from './make-image.js';
import { planChecked } from './plan-checked.js';
import { planOptions } from './plan-options.js';
import type { AskedBuild, BuildIo, BuildRequest } from './request.js';
import { rewriteTimestamps } from './rewrite-timestamps.js';
import type { Scanned } from './scan.js';
import { openSharedCaches } from './shared-caches.js';
import { type Outcome, writeOutputs } from './write-outputs.js';

/** What whoever asked for the build is told. */
export interface Built extends Outcome {
  readonly provenance: Describe;
}

/**
 * Builds one image, and makes of it what the request's outputs say.
 *
 * @throws BuildError, StoreError, SystemError: whatever is thrown, the store's images and tags are as before; finished
 *   steps stay in the cache
 */
export async function buildImage(asked: AskedBuild, io: BuildIo): Promise<Built> {
  const startedMs = performance.now();
  let host: Host | undefined;
  const openHost = async (): Promise<Host> => {
    host = await io.openHost();
    return host;
  };
  const lease = await openLease(io.store, 'build', () => host);
  try {
    const request = await unlessInterrupted(fetchSource(asked, { io, lease }), io.signal);
    const built = await build(request, { ...io, openHost }, lease);
    const durationMs = performance.now() - startedMs;
    io.emit({ type: 'build-done', digest: built.digest, tags: built.names, durationMs });
    return built;
  } finally {
    await lease.release();
  }
}

async function build(request: BuildRequest, io: BuildIo, lease: Lease): Promise<Built> {
  const startedMs = Date.now();
  const file = parseRequested(request);
  if (file.frontend) io.emit({ type: 'frontend', name: file.frontend.name });
  const options = await unlessInterrupted(resolveEpoch(file, planOptions(request), { request, io, lease }), io.signal);
  const bases = await unlessInterrupted(loadBases(file, options, { request, io, lease }), io.signal);
  const graph = withNetwork(planChecked(file, options, bases, { request, io }), request.network);
  announce(graph, request, io);
  warnUnknownStages(file, request, io.emit);

  const scanner = await unlessInterrupted(openScanner(request, io, lease), io.signal);
  const job = { graph, request, io, lease, bases };
  const shared = openSharedCaches(job);
  const useCache = cacheRule(graph, request);
  const effects = openEffects(job, shared);
  const journal = openJournal(job, { useCache, filesOf: effects.filesOf });
  try {
    const solved = await solve(graph, effects, {
      useCache,
      parallelism: request.jobs ?? Math.max(2, availableParallelism()),
      emit: io.emit,
      journal,
      signal: io.signal,
    });
    const result = outcome(solved, graph.result);
    const base = graph.base === null ? null : (bases.get(graph.base)?.config ?? null);
    const epochSec = options.epochSec ?? null;
    const baseLayers = base?.rootfs.diff_ids.length ?? 0;
    const rewritten = once(() => rewriteTimestamps(result.stack, baseLayers, epochSec ?? 0, { io, lease }));
    const tell = openDescription({
      request,
      graph,
      bases,
      startedMs,
      scanner: scanner?.image ?? null,
      arrivedFrom: effects.files.arrivedFrom,
    });
    const scan =
      scanner === null
        ? null
        : () =>
            scanner.scan({ graph, io, lease, ...effects.files, layersOf: (vertex) => outcome(solved, vertex).stack });
    const outputs: Result = {
      io,
      lease,
      epochSec,
      baseLayers,
      stack: async (rewrite) => (rewrite && epochSec !== null ? rewritten() : result.stack),
      config: (stack) =>
        assembleConfig(graph, stack, { base, outcomeOf: (vertex) => outcome(solved, vertex), epochSec }),
      statements: openStatements(request, tell, scan),
      indexed: request.indexed,
    };
    const built = await unlessInterrupted(writeOutputs(outputs, request.outputs), io.signal);
    await unlessInterrupted(shared.write(result.stack), io.signal);
    journal.close('done', built.digest);
    return { ...built, provenance: tell };
  } catch (error) {
    journal.close(io.signal.aborted ? 'interrupted' : 'failed', null);
    throw error;
  } finally {
    await effects.close();
    shared.close();
  }
}

/** Null where nobody asked what is in the image. */
async function openScanner(request: BuildRequest, io: BuildIo, lease: Lease) {
  const { sbom } = request.attested;
  if (sbom === null) return null;
  const { loadScanner, scanImage } = await import('./scan.js');
  const image = await loadScanner(sbom, { request, io, lease });
  return { image, scan: (scanned: Scanned) => scanImage(scanned, sbom, image) };
}

function once(make: () => Promise<readonly DiffId[]>): () => Promise<readonly DiffId[]> {
  let made: Promise<readonly DiffId[]> | undefined;
  return () => {
    made ??= make();
    return made;
  };
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
