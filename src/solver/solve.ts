// Build graph → results. Order, parallelism and cache; everything that touches the machine comes in as an effect.
import type { DiffId } from '#store';
import type { EventSink } from '../base/index.js';
import type { BaseVertex, BuildGraph, CopyVertex, MkdirVertex, RunVertex, Vertex, VertexId } from '../graph/index.js';
import { cacheKey, type KeyInputs, type KeyParts, keyParts } from './cache-key.js';
import { Semaphore } from './semaphore.js';
import { extendStack } from './stack-digest.js';

/** Result of one vertex: the stack of layers that its tree consists of, base first. */
export interface Solved {
  readonly stack: readonly DiffId[];
  /** The layer that this vertex added; null when it added none. */
  readonly layer: DiffId | null;
  readonly createdMs: number;
}

export type WorkVertex = RunVertex | CopyVertex | MkdirVertex;
export type SolvedVertices = ReadonlyMap<VertexId, Solved>;

export interface SolverEffects {
  loadBase(vertex: BaseVertex): Promise<readonly DiffId[]>;
  /** What the vertex reads; null when finding out costs as much as executing it. */
  findInputs(vertex: WorkVertex, solved: SolvedVertices, signal: AbortSignal): Promise<KeyInputs | null>;
  lookupCache(key: string): { readonly diffId: DiffId | null; readonly createdMs: number } | null;
  /** Looks where other stores keep their results; true if the cache has the key now. */
  restore(vertex: WorkVertex, key: string): Promise<boolean>;
  /**
   * Waits until no other process executes a vertex of this key; others wait for us until the claim is released. Whoever
   * executed it before has recorded it then, unless it failed.
   */
  claim(vertex: WorkVertex, key: string, signal: AbortSignal): Promise<Claim>;
  /** A layer of an earlier build takes the place of the work. @throws what executing it would, were it to make that layer */
  reuse(vertex: WorkVertex, diffId: DiffId): void;
  /** Does the work. Its inputs are those that count: what was really read. */
  execute(vertex: WorkVertex, solved: SolvedVertices, signal: AbortSignal): Promise<Executed>;
  recordCache(key: string, record: NewRecord): void;
  /** Records it unless another process was faster with the same; the one that stays counts, so that both make one image. */
  adoptCache(key: string, record: NewRecord): { readonly diffId: DiffId | null; readonly createdMs: number };
}

interface Claim {
  release(): void;
}

interface NewRecord {
  readonly diffId: DiffId | null;
  readonly inputs: KeyInputs;
  readonly createdMs: number;
}

export interface Executed {
  readonly diffId: DiffId | null;
  readonly layerBytes: number;
  readonly inputs: KeyInputs;
}

/** Hears what becomes of each vertex, for whoever keeps an account of the build. */
export interface Journal {
  /** Its key is known: before it is looked up, or after the work where only that finds it out. The last one counts. */
  keyed(vertex: WorkVertex, key: string, parts: KeyParts): void;
  /** Nothing there is may stand in for its result: it is about to be executed, or has just been. */
  missed(vertex: WorkVertex): void;
  settled(vertex: Vertex, result: Solved, how: { readonly cached: boolean; readonly durationMs: number }): void;
  failed(vertex: Vertex, how: { readonly canceled: boolean; readonly durationMs: number }): void;
}

export interface SolveOptions {
  /** False for vertices to execute whatever is known of them. */
  useCache(vertex: WorkVertex): boolean;
  /** Vertices executed at the same time. */
  readonly parallelism: number;
  readonly emit: EventSink;
  readonly journal: Journal;
  readonly signal: AbortSignal;
}

/**
 * Solves every vertex of the graph, each once its inputs are there. The first failure stops the others and is thrown
 * when all have ended; what had finished by then is in the cache.
 */
export async function solve(
  graph: BuildGraph,
  effects: SolverEffects,
  options: SolveOptions,
): Promise<ReadonlyMap<VertexId, Solved>> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const solved = new Map<VertexId, Solved>();
  const running: Promise<void>[] = [];
  const work: Work = {
    effects,
    useCache: options.useCache,
    journal: options.journal,
    slots: new Semaphore(options.parallelism),
    signal,
    inFlight: new Map(),
  };
  let failure: unknown;

  for (const vertex of graph.vertices) {
    const needed = neededBy(vertex).map((id) => running[id]);
    running.push(
      Promise.all(needed).then(async () => {
        if (signal.aborted) return;
        try {
          solved.set(vertex.id, await observe(vertex, options, signal, () => settle(vertex)));
        } catch (error) {
          failure ??= error;
          stop.abort();
        }
      }),
    );
  }
  const settle = async (vertex: Vertex): Promise<Outcome> => {
    if (vertex.kind === 'base') {
      const stack = await effects.loadBase(vertex);
      return { solved: { stack, layer: null, createdMs: Date.now() }, cached: false, layerBytes: null };
    }
    const parent = solved.get(vertex.parent);
    if (parent === undefined) throw new Error(`vertex ${vertex.id} runs before its parent`);
    return settleWork(vertex, parent.stack, solved, work);
  };
  await Promise.all(running);
  if (failure !== undefined) throw failure;
  options.signal.throwIfAborted();
  return solved;
}

interface Outcome {
  readonly solved: Solved;
  readonly cached: boolean;
  readonly layerBytes: number | null;
}

/** What all vertices of one solve share. */
interface Work {
  readonly effects: SolverEffects;
  useCache(vertex: WorkVertex): boolean;
  readonly journal: Journal;
  readonly slots: Semaphore;
  readonly signal: AbortSignal;
  /** Vertices being executed, by cache key: an equal one waits for the result instead of doing the same. */
  readonly inFlight: Map<string, Promise<Outcome>>;
}

async function settleWork(
  vertex: WorkVertex,
  stack: readonly DiffId[],
  solved: SolvedVertices,
  work: Work,
): Promise<Outcome> {
  const { effects, inFlight } = work;
  const inputs = await effects.findInputs(vertex, solved, work.signal);
  if (inputs === null) return execute(vertex, stack, solved, null, work);
  const key = keyOf(vertex, stack, inputs, work);
  const hit = lookup(vertex, key, stack, work);
  if (hit) return hit;
  const twin = inFlight.get(key);
  if (twin) return { ...(await twin), cached: true, layerBytes: null };
  const outcome = executeOnce(vertex, stack, solved, { key, inputs }, work);
  inFlight.set(key, outcome);
  const landed = (): void => void inFlight.delete(key);
  outcome.then(landed, landed);
  return outcome;
}

function keyOf(vertex: WorkVertex, stack: readonly DiffId[], inputs: KeyInputs, { journal }: Work): string {
  const parts = keyParts(vertex, stack, inputs);
  const key = cacheKey(parts);
  journal.keyed(vertex, key, parts);
  return key;
}

function lookup(vertex: WorkVertex, key: string, stack: readonly DiffId[], work: Work): Outcome | null {
  const { effects, useCache } = work;
  const hit = useCache(vertex) ? effects.lookupCache(key) : null;
  if (hit === null) return null;
  if (hit.diffId !== null) effects.reuse(vertex, hit.diffId);
  return { solved: stacked(stack, hit.diffId, hit.createdMs), cached: true, layerBytes: null };
}

/** Once among all processes: what another one has made meanwhile is taken. */
async function executeOnce(
  vertex: WorkVertex,
  stack: readonly DiffId[],
  solved: SolvedVertices,
  { key, inputs }: { readonly key: string; readonly inputs: KeyInputs },
  work: Work,
): Promise<Outcome> {
  if (!work.useCache(vertex)) return execute(vertex, stack, solved, inputs, work);
  const claim = await work.effects.claim(vertex, key, work.signal);
  try {
    const known = lookup(vertex, key, stack, work) ?? (await restored(vertex, key, stack, work));
    return known ?? (await execute(vertex, stack, solved, inputs, work));
  } finally {
    claim.release();
  }
}

async function restored(
  vertex: WorkVertex,
  key: string,
  stack: readonly DiffId[],
  work: Work,
): Promise<Outcome | null> {
  return (await work.effects.restore(vertex, key)) ? lookup(vertex, key, stack, work) : null;
}

async function execute(
  vertex: WorkVertex,
  stack: readonly DiffId[],
  solved: SolvedVertices,
  known: KeyInputs | null,
  work: Work,
): Promise<Outcome> {
  const { effects, slots, signal, journal } = work;
  if (known !== null) journal.missed(vertex);
  const { diffId, layerBytes, inputs } = await slots.use(() => {
    signal.throwIfAborted();
    return effects.execute(vertex, solved, signal);
  });
  // What was really read: a file may have changed since findInputs looked at it.
  const key = keyOf(vertex, stack, inputs, work);
  const made = { diffId, inputs, createdMs: Date.now() };
  if (!work.useCache(vertex)) {
    if (known === null) journal.missed(vertex);
    effects.recordCache(key, made);
    return { solved: stacked(stack, diffId, made.createdMs), cached: false, layerBytes };
  }
  // Another machine's files have other times: the result that later steps are known for is the one that is kept.
  if (known === null && effects.lookupCache(key) === null) await effects.restore(vertex, key);
  const kept = effects.adoptCache(key, made);
  // Only now known: files were read once, for the layer and for the key. A touched but equal file still ends as a hit.
  const cached = known === null && kept !== made;
  if (known === null && !cached) journal.missed(vertex);
  return {
    solved: stacked(stack, kept.diffId, kept.createdMs),
    cached,
    layerBytes: cached ? null : layerBytes,
  };
}

function stacked(stack: readonly DiffId[], layer: DiffId | null, createdMs: number): Solved {
  return { stack: layer === null ? stack : extendStack(stack, layer), layer, createdMs };
}

async function observe(
  vertex: Vertex,
  { emit, journal }: Pick<SolveOptions, 'emit' | 'journal'>,
  signal: AbortSignal,
  work: () => Promise<Outcome>,
): Promise<Solved> {
  const started = performance.now();
  emit({ type: 'vertex-start', vertex: vertex.id, name: vertex.name });
  try {
    const { solved, cached, layerBytes } = await work();
    const durationMs = performance.now() - started;
    journal.settled(vertex, solved, { cached, durationMs });
    emit({ type: 'vertex-done', vertex: vertex.id, cached, layerBytes, durationMs });
    return solved;
  } catch (error) {
    const canceled = signal.aborted;
    const durationMs = performance.now() - started;
    journal.failed(vertex, { canceled, durationMs });
    emit({ type: 'vertex-failed', vertex: vertex.id, durationMs, canceled });
    throw error;
  }
}

/** The vertices whose results this one reads. */
export function neededBy(vertex: Vertex): VertexId[] {
  if (vertex.kind === 'base') return [];
  const sources =
    vertex.kind === 'copy'
      ? [vertex.from]
      : vertex.kind === 'run'
        ? vertex.mounts.flatMap((mount) => ('from' in mount && mount.from !== null ? [mount.from] : []))
        : [];
  return [vertex.parent, ...sources.flatMap((source) => (source.kind === 'vertex' ? [source.vertex] : []))];
}
