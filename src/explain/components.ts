// All that a step's key is made of, for people: one line a component, equal ones too.

import { type ComparedStep, componentNames } from './compare.js';
import { countFiles, fileSets } from './file-list.js';
import { shortened } from './words.js';

export interface Component {
  readonly name: string;
  /** What it is. */
  readonly text: string;
  /** Equal if the component is. */
  readonly value: string;
}

export function componentsOf(step: ComparedStep): Component[] {
  const { record, argNames = [], says = {} } = step;
  const { platform, does, stack } = record;
  const components: Component[] = [];
  const add = (name: string, text: string, value: unknown = text): void => {
    components.push({ name, text: shortened(text, maxChars), value: JSON.stringify(value) });
  };
  if (does.kind === 'run') {
    const { kind: _, args, script, env, cwd, user, mounts, network, sandbox, ...rest } = does;
    add('command', script ?? args.join(' '), [args, script]);
    for (const mount of mounts) add('--mount', mountText(mount as Fields), mount);
    const ofArgs = new Set(argNames);
    add(
      'ENV',
      namesOf(env.filter(([name]) => !ofArgs.has(name))),
      env.filter(([name]) => !ofArgs.has(name)),
    );
    if (ofArgs.size > 0)
      add(
        'ARG',
        namesOf(env.filter(([name]) => ofArgs.has(name))),
        env.filter(([name]) => ofArgs.has(name)),
      );
    add('WORKDIR', cwd);
    add('USER', user || 'root', user);
    add('--network', network);
    for (const [name, value] of Object.entries({ ...rest, ...sandbox })) {
      if (isSaid(value))
        add(componentNames[name] ?? name, typeof value === 'object' ? JSON.stringify(value) : String(value), value);
    }
  }
  if (does.kind === 'mkdir') {
    add('WORKDIR', does.path);
    add('USER', does.user || 'root', does.user);
  }
  for (const [name, value] of Object.entries(says)) add(name, value);
  if (does.kind !== 'run' && does.epoch !== undefined) add('SOURCE_DATE_EPOCH', String(does.epoch));
  const sets = fileSets(step.files ?? '');
  for (const [input, digest] of Object.entries(record.inputs)) {
    const list = sets.get(input);
    add(input === 'content' ? 'files' : `files in ${input}`, list === undefined ? digest : countText(list), digest);
  }
  add('platform', [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/'), platform);
  if (stack !== null) add('parent', `layers ${stack.slice(0, 12)}`, stack);
  return components;
}

const maxChars = 100;

type Fields = Readonly<Record<string, unknown>>;

function mountText(mount: Fields): string {
  return Object.entries(mount)
    .filter(([, value]) => isSaid(value))
    .map(([name, value]) => `${name === 'kind' ? 'type' : name}=${name === 'mode' ? Number(value).toString(8) : value}`)
    .join();
}

function isSaid(value: unknown): boolean {
  if (value === null || value === false || value === '') return false;
  return typeof value !== 'object' || Object.values(value).some((each) => isSaid(each));
}

function namesOf(env: readonly (readonly [name: string, value: string])[]): string {
  return env.length === 0 ? 'none' : env.map(([name]) => name).join(' ');
}

function countText(list: string): string {
  const count = countFiles(list);
  return count === 1 ? '1 file' : `${count} files`;
}
