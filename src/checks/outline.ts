// --call=outline: what a build may be given – arguments, secrets, ssh agents – and the caches that it keeps.
import { posix } from 'node:path';
import type { Span } from '../base/index.js';
import { type Buildfile, expandWord, type MountFlag, parseMount, type Word } from '../buildfile/index.js';
import { globalVariables, type NeededStages, type PlanOptions, type PlanStep } from '../graph/index.js';
import { descriptionOf } from './descriptions.js';
import { attempt, expandRecording } from './recorded.js';

export interface OutlineItem {
  readonly name: string;
  readonly at: Span;
}

export interface Outline {
  /** Of the target; '' without a name. */
  readonly name: string;
  readonly description: string;
  readonly args: readonly (OutlineItem & { readonly value: string; readonly description: string })[];
  readonly secrets: readonly (OutlineItem & { readonly required: boolean })[];
  readonly ssh: readonly (OutlineItem & { readonly required: boolean })[];
  readonly caches: readonly OutlineItem[];
}

/** Watches the plan of the target; the outline is complete when that is done. */
export function openOutline(
  file: Buildfile,
  options: PlanOptions,
): { watch(step: PlanStep): void; outline(needed: NeededStages): Outline } {
  const globals = globalVariables(file, options);
  const args = new Map<string, Outline['args'][number]>();
  const secrets = new Map<string, Outline['secrets'][number]>();
  const ssh = new Map<string, Outline['ssh'][number]>();
  const caches = new Map<string, OutlineItem>();
  const declared = globalArgs(file, globals);
  const addGlobal = (name: string): void => {
    const known = declared.get(name);
    if (known === undefined || args.has(name)) return;
    args.set(name, known.item);
    for (const used of known.uses) addGlobal(used);
  };
  const addMount = (step: PlanStep, flag: MountFlag): void => {
    const text = (word: Word): string =>
      attempt(() => expandWord(word.text, (name) => step.env.get(name), { escapeChar: file.escapeChar })) ?? word.text;
    const { type, id, source, target, required, at } = parseMount(flag, text);
    const put = <T extends OutlineItem>(into: Map<string, T>, item: T): void => {
      if (!into.has(item.name)) into.set(item.name, item);
    };
    if (type === 'secret') put(secrets, { name: source ?? id ?? posix.basename(target ?? ''), required, at });
    if (type === 'ssh') put(ssh, { name: source ?? id ?? 'default', required, at });
    if (type === 'cache') put(caches, { name: id ?? posix.normalize(target ?? ''), at });
  };
  return {
    watch: (step) => {
      const { instruction } = step;
      if (instruction.keyword === 'RUN') for (const mount of instruction.mounts) addMount(step, mount);
      if (instruction.keyword !== 'ARG') return;
      const env = new Map(step.env); // an ARG sees those before it on its line
      for (const { name, value } of instruction.args) {
        const given = options.buildArgs.get(name);
        if (given === undefined && value === null && globals.has(name)) {
          addGlobal(name);
          continue;
        }
        const byDefault = value && expandRecording(value.text, env, { escapeChar: file.escapeChar }).text;
        const set = given ?? byDefault ?? '';
        if (given !== undefined || value !== null) env.set(name, set);
        const description = descriptionOf(file, instruction, name);
        args.set(name, { name, value: set, description, at: instruction.at });
      }
    },
    outline: ({ stages, target }) => {
      for (const { stage } of stages.values()) {
        for (const name of usedByFrom(file, stage.from, globals)) addGlobal(name);
      }
      const { from } = file.stages[target]!;
      return {
        name: from.name ?? '',
        description: from.name === null ? '' : descriptionOf(file, from, from.name),
        args: inOrder(args),
        secrets: inOrder(secrets),
        ssh: inOrder(ssh),
        caches: inOrder(caches),
      };
    },
  };
}

function globalArgs(
  file: Buildfile,
  globals: ReadonlyMap<string, string>,
): ReadonlyMap<string, { item: Outline['args'][number]; uses: ReadonlySet<string> }> {
  const found = new Map<string, { item: Outline['args'][number]; uses: ReadonlySet<string> }>();
  for (const instruction of file.globalArgs) {
    for (const { name, value } of instruction.args) {
      const description = descriptionOf(file, instruction, name);
      const item = { name, value: globals.get(name) ?? '', description, at: instruction.at };
      const uses = expandRecording(value?.text ?? '', globals, { escapeChar: file.escapeChar }).matched;
      found.set(name, { item, uses });
    }
  }
  return found;
}

function usedByFrom(
  file: Buildfile,
  { base, platform }: Buildfile['stages'][number]['from'],
  globals: ReadonlyMap<string, string>,
): ReadonlySet<string> {
  const text = `${base.text} ${platform?.text ?? ''}`;
  return expandRecording(text, globals, { escapeChar: file.escapeChar }).matched;
}

function inOrder<T extends OutlineItem>(items: ReadonlyMap<string, T>): T[] {
  return [...items.values()].sort((a, b) => a.at.start - b.at.start);
}
