// What a stage has become after some of its instructions.
import { posix } from 'node:path';
import type { Platform, RunConfig } from '#store';
import type { Span } from '../base/index.js';
import type { Buildfile, ExpandOptions, Lookup } from '../buildfile/index.js';
import { historyComment } from './created-by.js';
import type { NamedOrigin } from './named-origin.js';
import type { BaseImage, PlanOptions } from './options.js';
import { type Origin, originOf } from './origin.js';
import type { NeededStage } from './stages.js';
import type { BuildGraph, FileSource, PlannedHistory, Vertex, VertexId } from './types.js';

export type MutableConfig = { -readonly [Key in keyof RunConfig]: RunConfig[Key] };

/** What all stages of one plan share. */
export interface PlanContext {
  readonly file: Buildfile;
  readonly options: PlanOptions;
  readonly bases: ReadonlyMap<string, BaseImage>;
  readonly globals: ReadonlyMap<string, string>;
  readonly expandOptions: ExpandOptions;
  readonly hiddenEnv: readonly (readonly [name: string, value: string])[];
  readonly warnings: BuildGraph['warnings'][number][];
  /** Adds a vertex and numbers it. */
  add(vertex: DistributiveOmit<Vertex, 'id'>): VertexId;
  /** The vertex whose files an origin has. */
  vertexOf(origin: Exclude<Origin, { kind: 'directory' }>, at: Span): VertexId;
}

export type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

export interface StageState {
  readonly index: number;
  readonly needed: NeededStage;
  readonly platform: Platform;
  vertex: VertexId;
  readonly config: MutableConfig;
  /** ENV and ARG together: what instructions expand and steps see. The later one wins. */
  readonly env: Map<string, string>;
  /** The config's Labels, whatever that says of them: an object made anew for each LABEL would be quadratic. */
  readonly labels: Map<string, string>;
  /** ARGs in the order in which they were declared; null without a value. */
  readonly args: Map<string, string | null>;
  readonly history: PlannedHistory[];
  author: string | undefined;
  /** Key of the image at the bottom. */
  readonly base: string | null;
  /** CMD was given in this stage: only then ENTRYPOINT keeps it. */
  cmdGiven: boolean;
  /** For '[name 2/5]'. */
  readonly steps: Steps;
}

export interface Steps {
  readonly label: string;
  readonly total: number;
  done: number;
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function lookupIn(state: StageState): Lookup {
  return (name) => state.env.get(name);
}

/** The config and environment that a stage on nothing begins with. */
export function emptyConfig(): MutableConfig {
  return { Env: [`PATH=${defaultPath}`], WorkingDir: '/' };
}

/** The same on an image. Its triggers are used up by this stage. */
export function configOfImage(image: BaseImage): MutableConfig {
  const { OnBuild: _, ...config }: MutableConfig = { ...image.config.config };
  if (config.WorkingDir) config.WorkingDir = posix.resolve('/', config.WorkingDir);
  const env = config.Env ?? [];
  return env.some((entry) => entry.startsWith('PATH=')) ? config : { ...config, Env: [...env, `PATH=${defaultPath}`] };
}

/** Environment of a config; an entry without '=' is empty. */
export function envOf(config: RunConfig): Map<string, string> {
  return new Map(
    (config.Env ?? []).map((entry) => {
      const equals = entry.indexOf('=');
      return equals < 0 ? [entry, ''] : [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

/** Where the files lie that an instruction of this stage names. @throws BuildError STAGE_NOT_FOUND, … */
export function fileSource(context: PlanContext, state: StageState, named: NamedOrigin): FileSource {
  const { file, options, globals } = context;
  const origin = originOf(named, { file, options, globals, user: state.index });
  if (origin.kind === 'directory') return { kind: 'context', name: origin.name };
  return { kind: 'vertex', vertex: context.vertexOf(origin, named.word.at) };
}

export function addHistory(state: StageState, createdBy: string, vertex: VertexId | null): void {
  state.history.push({ createdBy, comment: historyComment, vertex });
}

/** '[build 2/5] RUN make', counting one further. */
export function stepName(steps: Steps, what: string, onbuild: boolean): string {
  const { label, total } = steps;
  const done = String(++steps.done).padStart(String(total).length);
  return `[${label === '' ? '' : `${label} `}${done}/${total}] ${onbuild ? 'ONBUILD ' : ''}${what}`;
}
