// Buildfile + options + configs of the bases → build graph. Pure: no I/O, no clock, no environment.
import { posix } from 'node:path';
import type { Buildfile, Instruction, WorkdirInstruction } from '../buildfile/index.js';
import { applyConfig, sortedRecord } from './apply-config.js';
import type { BaseImage, PlanOptions } from './options.js';
import { planCopy } from './plan-copy.js';
import { planRun } from './plan-run.js';
import {
  addHistory,
  configOfImage,
  type DistributiveOmit,
  emptyConfig,
  envOf,
  lookupIn,
  type PlanContext,
  type StageState,
  stepName,
} from './stage-state.js';
import { allStages, type NeededStage, type NeededStages, neededStages } from './stages.js';
import type { BuildGraph, PlannedStage, Vertex, VertexId } from './types.js';
import { expand, proxyVariables, scanOf, unusedArguments } from './variables.js';

/**
 * The graph of what the target needs, and the image that comes out.
 *
 * @param bases what requiredBases asked for, by its keys
 * @throws BuildError STAGE_NOT_FOUND, STAGE_ORDER, STAGE_CYCLE, BASE_INVALID, MOUNT_INVALID, NOT_SUPPORTED, VARIABLE_INVALID, …
 */
export function planBuild(file: Buildfile, options: PlanOptions, bases: ReadonlyMap<string, BaseImage>): BuildGraph {
  const needed = neededStages(file, options, bases);
  const { context, states, vertices, stages } = planStages(file, options, bases, needed);
  const result = states.get(needed.target)!;
  const labels = [...result.labels, ...options.labels];
  return {
    vertices,
    stages,
    result: result.vertex,
    platform: result.platform,
    config: labels.length > 0 ? { ...result.config, Labels: sortedRecord(labels) } : result.config,
    author: result.author,
    base: result.base,
    history: result.history,
    warnings: [...context.warnings, ...unusedArguments(options.buildArgs, declaredArguments(file, needed.stages))],
  };
}

/**
 * Plans every stage, whether the target needs it or not, for what that says: `watch` is told of each instruction.
 *
 * @throws BuildError as planBuild
 */
export function rehearseStages(file: Buildfile, options: PlanOptions, bases: ReadonlyMap<string, BaseImage>): void {
  planStages(file, options, bases, allStages(file, options, bases));
}

interface Planned {
  readonly context: PlanContext;
  readonly states: ReadonlyMap<number, StageState>;
  readonly vertices: readonly Vertex[];
  readonly stages: readonly PlannedStage[];
}

function planStages(
  file: Buildfile,
  options: PlanOptions,
  bases: ReadonlyMap<string, BaseImage>,
  needed: NeededStages,
): Planned {
  const [missing] = needed.missing;
  if (missing) throw new Error(`the base ${missing.key} was not given`);
  const vertices: Vertex[] = [];
  const states = new Map<number, StageState>();
  const context = openContext({ file, options, bases, globals: needed.globals, vertices, states });
  const stages: PlannedStage[] = [];
  for (const [index, stage] of needed.stages) {
    const first = vertices.length;
    const state = planStage(context, index, stage, states);
    states.set(index, state);
    const { name } = stage.stage.from;
    const common = { name, index: stage.stage.index, first, end: vertices.length };
    stages.push({ ...common, result: state.vertex, scan: scanOf(name, state.args, options.buildArgs) });
  }
  return { context, states, vertices, stages };
}

function openContext(parts: {
  file: Buildfile;
  options: PlanOptions;
  bases: ReadonlyMap<string, BaseImage>;
  globals: ReadonlyMap<string, string>;
  vertices: Vertex[];
  states: ReadonlyMap<number, StageState>;
}): PlanContext {
  const { file, options, bases, globals, vertices, states } = parts;
  const images = new Map<string | null, VertexId>();
  const add = (vertex: DistributiveOmit<Vertex, 'id'>): VertexId => {
    const id = vertices.length;
    vertices.push({ ...vertex, id });
    return id;
  };
  const vertexOf: PlanContext['vertexOf'] = (origin, at) => {
    if (origin.kind === 'stage') return states.get(origin.index)!.vertex;
    const key = origin.kind === 'image' ? origin.request.key : null;
    const known = images.get(key);
    if (known !== undefined) return known;
    const name = `FROM ${origin.kind === 'image' ? origin.request.ref : 'scratch'}`;
    const platform = origin.kind === 'image' ? origin.request.platform : options.platform;
    const id = add({ kind: 'base', name, at, platform, base: key });
    images.set(key, id);
    return id;
  };
  return {
    file,
    options,
    bases,
    globals,
    expandOptions: { escapeChar: file.escapeChar },
    hiddenEnv: proxyVariables(options.buildArgs),
    warnings: [],
    add,
    vertexOf,
  };
}

function planStage(
  context: PlanContext,
  index: number,
  needed: NeededStage,
  states: ReadonlyMap<number, StageState>,
): StageState {
  const state = startStage(context, index, needed, states);
  const parent = needed.base.kind === 'stage' ? needed.base.index : null;
  for (const { instruction, onbuild } of needed.instructions) {
    const { base, env, args } = state;
    const { stage } = needed;
    context.options.watch?.({ stage, parent, base, instruction, onbuild, env, args, shell: state.config.Shell ?? [] });
    switch (instruction.keyword) {
      case 'RUN':
        planRun(context, state, instruction, onbuild);
        break;
      case 'COPY':
      case 'ADD':
        planCopy(context, state, instruction, onbuild);
        break;
      case 'WORKDIR':
        planWorkdir(context, state, instruction, onbuild);
        break;
      default:
        applyConfig(context, state, instruction);
    }
  }
  return state;
}

function startStage(
  context: PlanContext,
  index: number,
  needed: NeededStage,
  states: ReadonlyMap<number, StageState>,
): StageState {
  const { base, platform, stage } = needed;
  const steps = { label: labelOf(context, needed), total: countSteps(needed), done: 0 };
  const common = { index, needed, platform, cmdGiven: false, steps };
  if (base.kind === 'stage') {
    const parent = states.get(base.index)!;
    warnIgnoredPlatform(context, needed);
    const { OnBuild: _, ...config } = parent.config;
    const { vertex, author } = parent;
    const copies = {
      env: new Map(parent.env),
      labels: new Map(parent.labels),
      args: new Map(parent.args),
      history: [...parent.history],
    };
    return { ...common, ...copies, config, vertex, author, base: parent.base };
  }
  const key = base.kind === 'image' ? base.request.key : null;
  const image = key === null ? undefined : context.bases.get(key);
  const config = image ? configOfImage(image) : emptyConfig();
  const name = base.kind === 'image' ? `FROM ${base.request.ref}` : 'FROM scratch';
  const vertex = context.add({
    kind: 'base',
    name: base.kind === 'image' ? stepName(steps, name, false) : name,
    at: stage.from.at,
    platform,
    base: key,
  });
  const author = image?.config.author;
  const labels = new Map(Object.entries(config.Labels ?? {}));
  const state = {
    ...common,
    env: envOf(config),
    labels,
    args: new Map(),
    history: [],
    config,
    vertex,
    author,
    base: key,
  };
  return base.kind === 'directory' ? withFiles(context, state, base.name) : state;
}

/** A stage whose base is a directory of files: as if it began with COPY of all of them. */
function withFiles(context: PlanContext, state: StageState, name: string): StageState {
  const { from } = state.needed.stage;
  const { platform, vertex: parent } = state;
  const vertex = context.add({
    kind: 'copy',
    name: stepName(state.steps, `FROM ${name}`, false),
    at: from.at,
    platform,
    instruction: 'COPY',
    parent,
    from: { kind: 'context', name },
    sources: [{ pattern: '/', at: from.base.at, remote: null }],
    inline: [],
    dest: '/',
    chown: null,
    chmod: null,
    exclude: [],
    unpack: null,
    parents: false,
    link: false,
    epochSec: context.options.epochSec ?? null,
  });
  const filled = { ...state, vertex };
  addHistory(filled, `FROM ${name}`, vertex);
  return filled;
}

function labelOf({ file }: PlanContext, { stage }: NeededStage): string {
  return file.stages.length === 1 ? '' : (stage.from.name ?? `stage-${stage.index}`);
}

/** What is counted in '[2/5]': the image, and instructions that may make files. */
function countSteps({ base, instructions }: NeededStage): number {
  const working = instructions.filter(({ instruction }) =>
    ['RUN', 'COPY', 'ADD', 'WORKDIR'].includes(instruction.keyword),
  );
  return working.length + (base.kind === 'image' || base.kind === 'directory' ? 1 : 0);
}

function planWorkdir(context: PlanContext, state: StageState, workdir: WorkdirInstruction, onbuild: boolean): void {
  const wanted = expand(workdir.value, lookupIn(state), context.expandOptions);
  const path = posix.resolve('/', state.config.WorkingDir ?? '/', wanted);
  state.config.WorkingDir = path;
  let vertex: VertexId | null = null;
  if (path !== '/') {
    const name = stepName(state.steps, `WORKDIR ${wanted}`, onbuild);
    const { platform, vertex: parent } = state;
    vertex = context.add({
      kind: 'mkdir',
      name,
      at: workdir.at,
      platform,
      parent,
      path,
      user: state.config.User ?? '',
      epochSec: context.options.epochSec ?? null,
    });
    state.vertex = vertex;
  }
  addHistory(state, `WORKDIR ${path}`, vertex);
}

function warnIgnoredPlatform(
  { file, options, globals, warnings }: PlanContext,
  { stage, platform }: NeededStage,
): void {
  const flag = stage.from.platform;
  if (!flag) return;
  const text = expand(flag, (name) => globals.get(name), { escapeChar: file.escapeChar });
  const asked = options.parsePlatform(text, flag.at);
  if (JSON.stringify(asked) === JSON.stringify(platform)) return;
  warnings.push({
    code: 'PLATFORM_IGNORED',
    message: `--platform=${text} changes nothing: ${stage.from.base.text} is a stage, and has its platform already`,
    at: flag.at,
    hint: 'set --platform where that stage begins',
  });
}

/** Every name that some ARG declares, in stages that aren't needed too. */
function declaredArguments(file: Buildfile, needed: ReadonlyMap<number, NeededStage>): Set<string> {
  const instructions: Instruction[] = [
    ...file.globalArgs,
    ...file.stages.flatMap((stage) => stage.instructions),
    ...[...needed.values()].flatMap((stage) => stage.instructions.map(({ instruction }) => instruction)),
  ];
  const names = new Set<string>();
  for (const each of instructions) {
    const instruction = each.keyword === 'ONBUILD' ? each.trigger : each;
    if (instruction.keyword === 'ARG') for (const { name } of instruction.args) names.add(name);
  }
  return names;
}
