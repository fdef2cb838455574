// What the solver's vertices do to the machine and the store.
import { join } from 'node:path';
import { displayPath, type Host, type LayerMount } from '#native';
import {
  type CommittedLayer,
  commitDraft,
  commitUpper,
  type DiffId,
  type DraftEntry,
  findLayer,
  type Layer,
  type Lease,
  lookupCache,
  mountLayer,
  openView,
  type RootView,
  recordCache,
  StoreError,
  visibleLayers,
} from '#store';
import { BuildError, errorAt, lineAndColumn } from '../base/index.js';
import {
  type CopyPlan,
  contextSource,
  openContentDigests,
  planCopy,
  planMkdir,
  runStep,
  type SourceTree,
  viewSource,
} from '../executor/index.js';
import type { BuildGraph, CopyVertex, FileSource, MkdirVertex, RunVertex, Vertex } from '../graph/index.js';
import {
  type ForeignExecutable,
  foreignExecutables,
  foreignInLayer,
  formatPlatform,
  recordLayer,
} from '../platform/index.js';
import type { Executed, KeyInputs, SolvedVertices, SolverEffects, WorkVertex } from '../solver/index.js';
import type { LoadedBase } from './bases.js';
import { openCacheMount } from './cache-mount.js';
import { openContexts } from './contexts.js';
import type { BuildIo, BuildRequest } from './request.js';

export interface Job {
  readonly graph: BuildGraph;
  readonly request: BuildRequest;
  readonly io: BuildIo;
  readonly lease: Lease;
  readonly bases: ReadonlyMap<string, LoadedBase>;
}

/** Above these, reading files once for the layer and taking the key from that beats reading them for the key first. */
const coldFiles = 200;
const coldBytes = 8 * 1024 * 1024;

export function openEffects(job: Job): SolverEffects & { close(): void } {
  const { request, io, lease } = job;
  const contexts = openContexts(request, io.store.dir);
  const digests = openContentDigests(join(io.store.dir, 'cache', 'content'));
  const views = new Map<string, RootView>();
  const mounts = new Map<string, Promise<LayerMount[]>>();
  const plans = new Map<number, CopyPlan>();
  let host: Promise<Host> | undefined;

  const openHost = (): Promise<Host> => {
    host ??= io.openHost();
    return host;
  };
  const viewOf = (stack: readonly DiffId[]): RootView => {
    const key = stack.join();
    const view = views.get(key) ?? openView(stack.map((diffId) => requireLayer(job, diffId)));
    views.set(key, view);
    return view;
  };
  const mountsOf = (stack: readonly DiffId[], machine: Host): Promise<LayerMount[]> => {
    const key = stack.join();
    const layers = (): readonly Layer[] => visibleLayers(stack.map((diffId) => requireLayer(job, diffId)));
    const found = mounts.get(key) ?? Promise.all(layers().map((layer) => mountLayer(io.store, lease, machine, layer)));
    mounts.set(key, found);
    return found;
  };
  const stackOf = (vertex: number, solved: SolvedVertices): readonly DiffId[] => {
    const found = solved.get(vertex);
    if (found === undefined) throw new Error(`vertex ${vertex} is not solved yet`);
    return found.stack;
  };
  const sourceOf = async (from: FileSource, solved: SolvedVertices): Promise<SourceTree> => {
    if (from.kind === 'vertex')
      return viewSource(viewOf(stackOf(from.vertex, solved)), originOfVertex(job, from.vertex), digests);
    return contextSource(
      await contexts.open(from.name),
      from.name === null ? 'the build context' : `context ${from.name}`,
    );
  };
  const planOf = async (vertex: CopyVertex, solved: SolvedVertices): Promise<CopyPlan> => {
    const plan = await planCopy(vertex, {
      source: await sourceOf(vertex.from, solved),
      view: viewOf(stackOf(vertex.parent, solved)),
      made: now(),
      tempPath: (name) => lease.path(name),
    });
    plans.set(vertex.id, plan);
    return plan;
  };

  const findInputs = async (vertex: WorkVertex, solved: SolvedVertices): Promise<KeyInputs | null> => {
    if (vertex.kind === 'run') return contexts.bindDigests(vertex);
    if (vertex.kind === 'mkdir') return {};
    const plan = await planOf(vertex, solved);
    return isCold(plan) ? null : { content: await plan.contentKey() };
  };
  const copy = async (vertex: CopyVertex, solved: SolvedVertices): Promise<Executed> => {
    const plan = plans.get(vertex.id) ?? (await planOf(vertex, solved));
    const committed = await commit(job, vertex, await plan.drafts(), true);
    // The key of what was really copied, should a file have changed since it was looked at.
    const content = committed ? await plan.contentKeyFrom(committed.fileDigests) : await plan.contentKey();
    return executed(committed, { content });
  };
  const mkdir = async (vertex: MkdirVertex, solved: SolvedVertices): Promise<Executed> =>
    executed(await commit(job, vertex, planMkdir(vertex, viewOf(stackOf(vertex.parent, solved)), now()), false), {});

  const run = async (vertex: RunVertex, solved: SolvedVertices, signal: AbortSignal): Promise<Executed> => {
    const stack = stackOf(vertex.parent, solved);
    const machine = await openHost();
    const { scratchDir } = await runStep(vertex, {
      host: machine,
      lease,
      mounts: await mountsOf(stack, machine),
      view: viewOf(stack),
      originOf: (layer) => originOfLayer(job, stack[layer], solved),
      contextDir: (name) => contexts.dir(name),
      openCache: (mount) => openCacheMount(mount, io.store.dir, machine, lease),
      secret: (id) => request.secrets.get(id) ?? null,
      emit: io.emit,
      signal,
    });
    const committed = await commitUpper(io.store, lease, machine, scratchDir);
    if (committed) report(job, vertex, committed);
    return executed(committed, await contexts.bindDigests(vertex));
  };

  return {
    loadBase: async (vertex) => {
      if (vertex.base === null) return [];
      const base = job.bases.get(vertex.base);
      if (base === undefined) throw new Error(`base ${vertex.base} was not loaded`);
      return base.image.layers.map((layer) => layer.diffId);
    },
    findInputs: (vertex, solved) => atInstruction(vertex, findInputs(vertex, solved)),
    lookupCache: (key) => lookupCache(io.store, key),
    reuse: (vertex, diffId) => {
      if (request.archPolicy === 'allow') return;
      reportForeign(job, vertex, foreignInLayer(requireLayer(job, diffId), vertex.platform));
    },
    execute: (vertex, solved, signal) => {
      if (vertex.kind === 'run') return atInstruction(vertex, run(vertex, solved, signal));
      return atInstruction(vertex, vertex.kind === 'copy' ? copy(vertex, solved) : mkdir(vertex, solved));
    },
    recordCache: (key, record) => recordCache(io.store, key, record),
    close: () => {
      for (const view of views.values()) view.close();
      contexts.save();
      digests.save();
    },
  };
}

/** Whatever fails, fails at an instruction. */
async function atInstruction<T>(vertex: WorkVertex, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw errorAt(error, vertex.at);
  }
}

function isCold(plan: CopyPlan): boolean {
  return plan.pending.files > coldFiles || plan.pending.bytes > coldBytes;
}

async function commit(
  job: Job,
  vertex: WorkVertex,
  drafts: readonly DraftEntry[],
  fileDigests: boolean,
): Promise<CommittedLayer | null> {
  if (drafts.length === 0) return null;
  const committed = await commitDraft(job.io.store, job.lease, drafts, { fileDigests });
  report(job, vertex, committed);
  return committed;
}

function executed(committed: CommittedLayer | null, inputs: KeyInputs): Executed {
  return { diffId: committed?.layer.diffId ?? null, layerBytes: committed?.layer.size ?? 0, inputs };
}

/** Keeps what the layer's programs are for, and says when some are for another machine than the image's. */
function report(job: Job, vertex: Vertex, { layer, heads }: CommittedLayer): void {
  recordLayer(layer, heads);
  reportForeign(job, vertex, foreignExecutables(heads, vertex.platform));
}

function reportForeign({ request, io }: Job, vertex: Vertex, foreign: readonly ForeignExecutable[]): void {
  const [first] = foreign;
  if (first === undefined || request.archPolicy === 'allow') return;
  const more = foreign.length > 1 ? ` and ${foreign.length - 1} more` : '';
  const message = `/${displayPath(first.path)} is for ${first.machine}${more}; the image is for ${formatPlatform(vertex.platform)}`;
  const code = 'ARCH_FOREIGN_EXECUTABLE';
  if (request.archPolicy === 'refuse') {
    const hint = `take the file for ${formatPlatform(vertex.platform)}, or build with --arch-policy=warn`;
    throw new BuildError(code, { message, hint, at: vertex.at });
  }
  const hint = '--arch-policy=refuse makes this an error, --arch-policy=allow silences it';
  io.emit({ type: 'warning', code, message, at: vertex.at, hint });
}

function requireLayer({ io }: Job, diffId: DiffId): Layer {
  const layer = findLayer(io.store, diffId);
  if (layer !== null) return layer;
  throw new StoreError('LAYER_MISSING', {
    message: `layer ${diffId} disappeared from the store during the build`,
    hint: 'build again; if this happens twice, check the disk',
  });
}

function originOfLayer(job: Job, diffId: DiffId | undefined, solved: SolvedVertices): string {
  for (const vertex of job.graph.vertices) {
    const result = solved.get(vertex.id);
    if (diffId === undefined || !result) continue;
    if (vertex.kind === 'base' ? result.stack.includes(diffId) : result.layer === diffId)
      return originOfVertex(job, vertex.id);
  }
  return 'an earlier layer';
}

/** 'base image debian:bookworm', 'COPY at Buildfile:7'. */
function originOfVertex(job: Job, id: number): string {
  const vertex = job.graph.vertices[id];
  if (vertex === undefined) return 'an earlier step';
  if (vertex.kind === 'base') return vertex.base === null ? 'scratch' : `base image ${job.bases.get(vertex.base)?.ref}`;
  const { file, start } = vertex.at;
  const keyword = vertex.kind === 'copy' ? vertex.instruction : vertex.kind === 'run' ? 'RUN' : 'WORKDIR';
  return `${keyword} at ${file.name}:${lineAndColumn(file, start).line}`;
}

/** The time of what a step itself makes. */
function now(): { mtimeSec: number; mtimeNsec: number } {
  return { mtimeSec: Math.floor(Date.now() / 1000), mtimeNsec: 0 };
}
