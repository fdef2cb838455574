// What the solver's vertices do to the machine and the store.
import { join } from 'node:path';
import type { Host } from '#native';
import {
  adoptCache,
  type CommittedLayer,
  commitDraft,
  commitUpper,
  type DiffId,
  type DraftEntry,
  type Layer,
  lookupCache,
  recordCache,
} from '#store';
import { errorAt } from '../base/index.js';
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
import { encodeFiles } from '../explain/index.js';
import type { CopyVertex, FileSource, MkdirVertex, RunVertex } from '../graph/index.js';
import { foreignInLayer } from '../platform/index.js';
import type { Executed, KeyInputs, SolvedVertices, SolverEffects, WorkVertex } from '../solver/index.js';
import { type BindIo, type Bound, bindFiles, bindInputs } from './bind-mount.js';
import { openCaches } from './cache-mount.js';
import { cacheSeeds, seedDigests } from './cache-seed.js';
import { claim } from './claim.js';
import { type Contexts, openContexts } from './contexts.js';
import { reportForeign, reportLayer } from './foreign.js';
import { type Job, requireLayer } from './job.js';
import { originOfLayer, sourceOfVertex } from './origin.js';
import { openRemotes, type Remotes } from './remotes.js';
import { isTooOld, type SharedCaches } from './shared-caches.js';
import type { Agents } from './ssh-agents.js';
import { openStacks, type Stacks } from './stacks.js';
import { reportUnmatched } from './unmatched.js';

/** Above these, reading files once for the layer and taking the key from that beats reading them for the key first. */
const coldFiles = 200;
const coldBytes = 8 * 1024 * 1024;

export interface Effects extends SolverEffects {
  readonly files: {
    readonly stacks: Stacks;
    readonly contexts: Contexts;
    readonly arrivedFrom: Remotes['arrivedFrom'];
  };
  /** The files behind the inputs of a vertex that was looked at; null where there are none. @see encodeFiles */
  filesOf(vertex: WorkVertex): string | null;
  close(): Promise<void>;
}

export function openEffects(job: Job, shared: SharedCaches): Effects {
  const { request, io, lease } = job;
  const contexts = openContexts(job);
  const digests = openContentDigests(join(io.store.dir, 'cache', 'content'));
  const stacks = openStacks(job);
  const plans = new Map<number, CopyPlan>();
  const bound = new Map<number, Bound>();
  const results = new Map<number, SourceTree>();
  let host: Promise<Host> | undefined;
  let agents: Promise<Agents> | undefined;

  const openHost = (): Promise<Host> => {
    host ??= io.openHost();
    return host;
  };
  const openAgents = (): Promise<Agents> => {
    agents ??= import('./ssh-agents.js').then((ssh) => ssh.openAgents(request.ssh, lease));
    return agents;
  };
  const remotes = openRemotes(job, { digests, agent: async () => (await openAgents()).open('default') });
  const stackOf = (vertex: number, solved: SolvedVertices): readonly DiffId[] => {
    const found = solved.get(vertex);
    if (found === undefined) throw new Error(`vertex ${vertex} is not solved yet`);
    return found.stack;
  };
  const sourceOf = async (from: FileSource, solved: SolvedVertices): Promise<SourceTree> => {
    if (from.kind === 'vertex') {
      const view = stacks.view(stackOf(from.vertex, solved));
      const source = results.get(from.vertex) ?? viewSource(view, sourceOfVertex(job, from.vertex), digests);
      results.set(from.vertex, source);
      return source;
    }
    const name = from.name === null ? 'the build context' : `context ${from.name}`;
    const fetched = await contexts.fetched(from.name);
    if (fetched === null) return contextSource(await contexts.open(from.name), name);
    const view = stacks.view(stackOfLayers(fetched.layers));
    return viewSource(view, name, digests, { tempPath: (label) => lease.path(label) });
  };
  const binds: BindIo = {
    source: sourceOf,
    context: (name) => contexts.open(name),
    fetched: async (name, machine) => {
      const fetched = await contexts.fetched(name);
      return fetched && stacks.mounts(stackOfLayers(fetched.layers), machine);
    },
    layers: (vertex, solved, machine) => stacks.mounts(stackOf(vertex, solved), machine),
  };
  const planOf = async (vertex: CopyVertex, solved: SolvedVertices, signal: AbortSignal): Promise<CopyPlan> => {
    const plan = await planCopy(vertex, {
      source: await sourceOf(vertex.from, solved),
      remote: (source) => remotes.open(source, vertex, signal),
      view: stacks.view(stackOf(vertex.parent, solved)),
      made: madeAt(vertex),
      tempPath: (name) => lease.path(name),
      maxLayerBytes: io.store.options.maxLayerBytes,
    });
    plans.set(vertex.id, plan);
    reportUnmatched(vertex, plan, io.emit);
    return plan;
  };

  const mountDigests = async (vertex: RunVertex, solved: SolvedVertices): Promise<KeyInputs> => {
    const found = await bindInputs(vertex, solved, binds);
    bound.set(vertex.id, found);
    return { ...found.inputs, ...(await seedDigests(vertex, solved, binds)) };
  };
  const findInputs = async (
    vertex: WorkVertex,
    solved: SolvedVertices,
    signal: AbortSignal,
  ): Promise<KeyInputs | null> => {
    if (vertex.kind === 'run') return mountDigests(vertex, solved);
    if (vertex.kind === 'mkdir') return {};
    const plan = await planOf(vertex, solved, signal);
    return isCold(plan) ? null : { content: await plan.contentKey() };
  };
  const copy = async (vertex: CopyVertex, solved: SolvedVertices, signal: AbortSignal): Promise<Executed> => {
    const plan = plans.get(vertex.id) ?? (await planOf(vertex, solved, signal));
    const committed = await commit(job, vertex, await plan.drafts(), true);
    // The key of what was really copied, should a file have changed since it was looked at.
    const content = committed ? await plan.contentKeyFrom(committed.fileDigests) : await plan.contentKey();
    return executed(committed, { content });
  };
  const mkdir = async (vertex: MkdirVertex, solved: SolvedVertices): Promise<Executed> =>
    executed(
      await commit(job, vertex, planMkdir(vertex, stacks.view(stackOf(vertex.parent, solved)), madeAt(vertex)), false),
      {},
    );

  const run = async (vertex: RunVertex, solved: SolvedVertices, signal: AbortSignal): Promise<Executed> => {
    const stack = stackOf(vertex.parent, solved);
    const machine = await openHost();
    const mounts = await stacks.mounts(stack, machine);
    const files = await bindFiles(vertex, solved, machine, binds);
    const caches = await openCaches(job, vertex, await cacheSeeds(vertex, solved, binds), machine, signal);
    const { scratchDir } = await runStep(vertex, {
      host: machine,
      lease,
      mounts,
      view: stacks.view(stack),
      originOf: (layer) => originOfLayer(job, stack[layer], solved),
      boundFiles: files,
      cacheDir: caches.dirOf,
      secret: (id) => request.secrets.get(id) ?? null,
      agent: async (id) => (await openAgents()).open(id),
      emit: io.emit,
      signal,
    }).finally(caches.release);
    const committed = await commitUpper(io.store, lease, machine, scratchDir);
    if (committed) reportLayer(job, vertex, committed);
    return executed(committed, await mountDigests(vertex, solved));
  };

  return {
    files: { stacks, contexts, arrivedFrom: remotes.arrivedFrom },
    loadBase: async (vertex) => {
      if (vertex.base === null) return [];
      const base = job.bases.get(vertex.base);
      if (base === undefined) throw new Error(`base ${vertex.base} was not loaded`);
      return base.image.layers.map((layer) => layer.diffId);
    },
    findInputs: (vertex, solved, signal) => atInstruction(vertex, findInputs(vertex, solved, signal)),
    lookupCache: (key) => {
      const found = lookupCache(io.store, key);
      if (found === null || isTooOld(job, found)) return null;
      shared.note(key, found);
      return found;
    },
    restore: (vertex, key) => shared.restore(vertex, key),
    claim: (vertex, key, signal) => claim(job, vertex, key, signal),
    reuse: (vertex, diffId) => {
      if (request.archPolicy === 'allow') return;
      reportForeign(job, vertex, foreignInLayer(requireLayer(job, diffId), vertex.platform));
    },
    execute: (vertex, solved, signal) => {
      if (vertex.kind === 'run') return atInstruction(vertex, run(vertex, solved, signal));
      return atInstruction(vertex, vertex.kind === 'copy' ? copy(vertex, solved, signal) : mkdir(vertex, solved));
    },
    recordCache: (key, record) => {
      recordCache(io.store, key, record);
      shared.note(key, record);
    },
    adoptCache: (key, record) => {
      const kept = adoptCache(io.store, key, record, (known) => !isTooOld(job, known));
      shared.note(key, kept);
      return kept;
    },
    filesOf: ({ id }) => {
      const plan = plans.get(id);
      return plan ? encodeFiles('content', plan.inputs()) : (bound.get(id)?.list() ?? null);
    },
    close: async () => {
      stacks.close();
      await remotes.close();
      contexts.save();
      digests.save();
      await (await agents)?.close();
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

function stackOfLayers(layers: readonly Layer[]): readonly DiffId[] {
  return layers.map(({ diffId }) => diffId);
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
  reportLayer(job, vertex, committed);
  return committed;
}

function executed(committed: CommittedLayer | null, inputs: KeyInputs): Executed {
  return { diffId: committed?.layer.diffId ?? null, layerBytes: committed?.layer.size ?? 0, inputs };
}

/** The time of what a step itself makes. */
function madeAt({ epochSec }: CopyVertex | MkdirVertex): { mtimeSec: number; mtimeNsec: number } {
  return { mtimeSec: epochSec ?? Math.floor(Date.now() / 1000), mtimeNsec: 0 };
}
