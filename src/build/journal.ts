// The account of a build: what each step's key was made of, what became of it, and why it had to be executed. It is
// compared with what former builds left in the store, and left there itself.
import { createHash } from 'node:crypto';
import { basename, resolve } from 'node:path';
import {
  type BuildRecord,
  type Digest,
  findStep,
  formatPlatform,
  hasStep,
  lastBuilds,
  lookupCache,
  newBuildId,
  recordBuild,
  StoreError,
} from '#store';
import {
  type BuildEntry,
  type Explainer,
  explainFresh,
  type FormerBuild,
  instructionOf,
  type KnownStep,
  openExplainer,
  type StepEntry,
  sayings,
  stepRecord,
} from '../explain/index.js';
import type { BuildGraph } from '../graph/index.js';
import { type Journal, type KeyParts, neededBy, type WorkVertex } from '../solver/index.js';
import type { Job } from './job.js';
import type { BuildRequest } from './request.js';

export interface BuildJournal extends Journal {
  /** Leaves the account in the store. A store without room for it is as good as one that was never asked. */
  close(outcome: BuildRecord['outcome'], image: Digest | null): void;
}

export interface JournalIo {
  useCache(vertex: WorkVertex): boolean;
  /** The files behind the inputs of a vertex whose key is known; null where there are none. */
  filesOf(vertex: WorkVertex): string | null;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export function openJournal(job: Job, io: JournalIo): BuildJournal {
  const { graph, request } = job;
  const { store, emit } = job.io;
  const startedMs = Date.now();
  const place = placeOf(request);
  const steps: Mutable<StepEntry>[] = stepEntries(job);
  const known = new Map<number, { readonly vertex: WorkVertex; readonly parts: KeyParts }>();
  const made = new Map<number, KnownStep>();
  let explainer: Explainer | undefined;
  let needed: ReadonlySet<number> | undefined;

  const madeOf = (id: number): KnownStep => {
    const { vertex, parts } = known.get(id)!;
    const step = made.get(id) ?? { record: stepRecord(parts), files: io.filesOf(vertex) };
    made.set(id, step);
    return step;
  };
  const explain = (): Explainer => {
    const entry = entryOfBuild(request, graph, steps);
    explainer ??= openExplainer(steps, {
      builds: formerBuilds(job, place, entry),
      step: (key) => knownStep(job, key),
      hasResult: (key) => (lookupCache(store, key)?.createdMs ?? startedMs) < startedMs, // not what was just made
    });
    return explainer;
  };

  return {
    keyed(vertex, key, parts) {
      steps[vertex.id]!.key = key;
      known.set(vertex.id, { vertex, parts });
      made.delete(vertex.id);
    },
    missed(vertex) {
      const fresh = request.useCache ? 'no-cache-filter' : 'no-cache';
      const miss = io.useCache(vertex) ? explain().miss(vertex.id, madeOf(vertex.id)) : explainFresh(fresh);
      steps[vertex.id]!.miss = miss;
      const { former: _, ...told } = miss;
      emit({ type: 'not-cached', vertex: vertex.id, ...told });
    },
    settled(vertex, { stack, layer }, { cached, durationMs }) {
      const step = steps[vertex.id]!;
      const below = step.parent === null ? stack.join() : steps[step.parent]!.stack!;
      step.stack = step.parent !== null && layer === null ? below : shortHash(`${below} ${layer}`);
      step.layer = layer;
      step.outcome = cached ? 'cached' : 'executed';
      step.durationMs = durationMs;
      if (cached || !explainer?.hadSameResult(vertex.id)) return;
      step.unchanged = true;
      needed ??= new Set(graph.vertices.flatMap(neededBy));
      if (needed.has(vertex.id)) emit({ type: 'result-unchanged', vertex: vertex.id });
    },
    failed({ id }, { canceled, durationMs }) {
      steps[id]!.outcome = canceled ? 'canceled' : 'failed';
      steps[id]!.durationMs = durationMs;
    },
    close(outcome, image) {
      const fresh = [...known.keys()].filter((id) => !hasStep(store, steps[id]!.key!));
      const row = {
        id: newBuildId(),
        place,
        startedMs,
        durationMs: Date.now() - startedMs,
        outcome,
        image,
        record: entryOfBuild(request, graph, steps),
      };
      try {
        recordBuild(
          store,
          row,
          fresh.map((id) => ({ key: steps[id]!.key!, ...madeOf(id) })),
        );
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
      }
    },
  };
}

function stepEntries({ graph, bases }: Job): StepEntry[] {
  const stages = new Array<string>(graph.vertices.length).fill('');
  for (const { name, index, first, end } of graph.stages) stages.fill(name ?? String(index), first, end);
  return graph.vertices.map((vertex) => {
    const parent = vertex.kind === 'base' ? null : vertex.parent;
    const base = vertex.kind === 'base' && vertex.base !== null ? bases.get(vertex.base) : undefined;
    return {
      name: vertex.name.replace(/(\w:\/\/)[^\s/@]+@/g, '$1'), // an URL's user and password are nobody's business
      kind: vertex.kind,
      ...sayings(vertex),
      stage: stages[vertex.id]!,
      parent,
      from: neededBy(vertex).filter((id) => id !== parent),
      ...(base && { image: base.digest }),
      key: null,
      outcome: null,
      durationMs: 0,
    };
  });
}

function entryOfBuild(request: BuildRequest, graph: BuildGraph, steps: readonly StepEntry[]): BuildEntry {
  return {
    version: 1,
    ...placesOf(request),
    target: request.target ?? null,
    platform: formatPlatform(graph.platform),
    steps,
  };
}

/** Equal for builds of the same Buildfile in the same context. */
function placeOf(request: BuildRequest): string {
  const { context, buildfile } = placesOf(request);
  return shortHash(JSON.stringify([context, buildfile]));
}

function placesOf({ contextDir, buildfilePath, fetched }: BuildRequest): Pick<BuildEntry, 'context' | 'buildfile'> {
  return {
    context: contextDir === null ? (fetched?.place ?? '-') : resolve(contextDir),
    buildfile: buildfilePath === null ? (fetched?.buildfile ?? '-') : resolve(buildfilePath),
  };
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

const maxBuilds = 20;
const maxElsewhere = 50;

/** What this build may be compared with, nearest first: builds of its place, else the most similar ones of any. */
function formerBuilds({ io }: Job, place: string, now: BuildEntry): FormerBuild[] {
  const here = lastBuilds(io.store, place, maxBuilds).flatMap(formerBuild);
  if (here.length > 0) {
    const isOther = ({ entry }: FormerBuild): boolean => entry.target !== now.target || entry.platform !== now.platform;
    return [...here.filter((build) => !isOther(build)), ...here.filter(isOther)];
  }
  const words = new Set(now.steps.map(instructionOf));
  return lastBuilds(io.store, null, maxElsewhere)
    .flatMap(formerBuild)
    .filter(({ entry }) => isAlike(entry, now, words))
    .slice(0, 3);
}

/** A checkout of the same project elsewhere: it has the Buildfile's name and nearly the same steps. */
function isAlike(former: BuildEntry, now: BuildEntry, words: ReadonlySet<string>): boolean {
  if (basename(former.buildfile) !== basename(now.buildfile) || now.steps.length < 3) return false;
  const shared = former.steps.filter((step) => words.has(instructionOf(step))).length;
  return shared >= Math.max(former.steps.length, now.steps.length) * 0.75;
}

function formerBuild({ id, startedMs, record }: BuildRecord): FormerBuild[] {
  const entry = record as BuildEntry;
  return entry.version === 1 ? [{ id, startedMs, entry }] : [];
}

function knownStep({ io }: Job, key: string): KnownStep | null {
  return findStep(io.store, key) as KnownStep | null;
}
