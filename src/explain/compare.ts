// Two keys → what differs, component by component. Pure.
import { displayPath } from '#native';
import type { KeyChange } from '../base/index.js';
import type { KeyParts } from '../solver/index.js';
import { compareFiles, type FileChange, fileSets } from './file-list.js';
import { soundsSecret } from './step-record.js';
import type { KnownStep, Sayings } from './types.js';

/** A step with all that is known of it. */
export type ComparedStep = KnownStep & Sayings;

/**
 * Everything in which the keys of two steps differ but what lies below them; [] if they differ in nothing else.
 * Files come last, and are missing where their lists are lost.
 */
export function compareSteps(before: ComparedStep, after: ComparedStep): KeyChange[] {
  const [was, is] = [before.record, after.record];
  if (was.does.kind !== is.does.kind) return [{ what: 'instruction' }];
  return [
    ...changed('cache version', String(was.keyVersion), String(is.keyVersion)),
    ...changed('platform', platformText(was), platformText(is)),
    ...compareWhatIsDone(before, after),
    ...compareInputs(before, after),
  ];
}

/** True if the step's parent has a part in its key, and another one in the other's. */
export function standsOnOther(before: KnownStep, after: KnownStep): boolean {
  return before.record.stack !== after.record.stack;
}

function changed(what: string, from: string, to: string): KeyChange[] {
  return from === to ? [] : [{ what, from, to }];
}

function platformText({ platform }: KeyParts): string {
  const { os, architecture, variant } = platform;
  return [os, architecture, ...(variant ? [variant] : [])].join('/');
}

function compareWhatIsDone(before: ComparedStep, after: ComparedStep): KeyChange[] {
  const [was, is] = [before.record, after.record];
  const changes: KeyChange[] = [];
  const fields = new Set([...Object.keys(was.does), ...Object.keys(is.does)]);
  for (const field of fields) {
    const [from, to] = [was, is].map(({ does }) => (does as unknown as Fields)[field]);
    if (JSON.stringify(from) === JSON.stringify(to)) continue;
    switch (field) {
      case 'args':
        changes.push(...compareCommands(from as string[], to as string[]));
        break;
      case 'env':
        changes.push(...compareVariables(before, after));
        break;
      case 'sandbox':
        changes.push(...compareFields(from as Fields, to as Fields));
        break;
      case 'mounts':
        changes.push(...compareMounts(from as Fields[], to as Fields[]));
        break;
      default:
        changes.push({ what: componentNames[field] ?? field, from: textOf(from), to: textOf(to) });
    }
  }
  return changes;
}

type Fields = Readonly<Record<string, unknown>>;

function compareFields(was: Fields, is: Fields): KeyChange[] {
  const names = new Set([...Object.keys(was), ...Object.keys(is)]);
  return [...names].flatMap((name) => changed(componentNames[name] ?? name, textOf(was[name]), textOf(is[name])));
}

/** In the words of the Buildfile and of options. */
export const componentNames: Readonly<Record<string, string>> = {
  script: 'command',
  cwd: 'WORKDIR',
  path: 'WORKDIR',
  user: 'USER',
  network: '--network',
  security: '--security',
  epoch: 'SOURCE_DATE_EPOCH',
  hostname: '--hostname',
  extraHosts: '--add-host',
  ulimits: '--ulimit',
  shmSizeBytes: '--shm-size',
  cgroupParent: '--cgroup-parent',
};

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value);
}

/** The shell and its option, if only these changed; else what it is given. */
function compareCommands(from: readonly string[], to: readonly string[]): KeyChange[] {
  const [oldShell, newShell] = [from.slice(0, -1).join(' '), to.slice(0, -1).join(' ')];
  const sameCommand = from.at(-1) === to.at(-1);
  if (sameCommand && from.length > 1 && to.length > 1) return [{ what: 'SHELL', from: oldShell, to: newShell }];
  if (oldShell === newShell) return [{ what: 'command', from: from.at(-1) ?? '', to: to.at(-1) ?? '' }];
  return [{ what: 'command', from: from.join(' '), to: to.join(' ') }];
}

function compareVariables(was: ComparedStep, is: ComparedStep): KeyChange[] {
  const [from, to] = [variables(was.record), variables(is.record)];
  const changes: KeyChange[] = [];
  for (const name of new Set([...from.keys(), ...to.keys()])) {
    const [old, now] = [from.get(name), to.get(name)];
    if (old === now) continue;
    const what = (now === undefined ? was : is).argNames?.includes(name) ? 'arg' : 'env';
    const aspect = old === undefined ? 'new' : now === undefined ? 'gone' : 'value';
    const values = { ...(old !== undefined && { from: old }), ...(now !== undefined && { to: now }) };
    changes.push({ what, name, aspect, ...(soundsSecret(name) ? { hidden: true } : values) });
  }
  // The order of names is part of the environment, too.
  return changes.length > 0 ? changes : [{ what: 'env', aspect: 'order' }];
}

function variables({ does }: KeyParts): Map<string, string> {
  return new Map(does.kind === 'run' ? does.env : []);
}

function compareMounts(from: readonly Fields[], to: readonly Fields[]): KeyChange[] {
  const [was, is] = [from, to].map((mounts) => new Map(mounts.map((mount) => [mountName(mount), mount])));
  const changes: KeyChange[] = [];
  for (const name of new Set([...was!.keys(), ...is!.keys()])) {
    const [old, now] = [was!.get(name), is!.get(name)];
    if (old === undefined || now === undefined) changes.push({ what: 'mount', name, aspect: now ? 'new' : 'gone' });
    else changes.push(...compareMount(name, old, now));
  }
  return changes.length > 0 ? changes : [{ what: 'mount', aspect: 'order' }];
}

function mountName({ kind, target, env, id }: Fields): string {
  return `type=${textOf(kind)},${target ? `target=${textOf(target)}` : env ? `env=${textOf(env)}` : `id=${textOf(id)}`}`;
}

function compareMount(name: string, old: Fields, now: Fields): KeyChange[] {
  return [...new Set([...Object.keys(old), ...Object.keys(now)])].flatMap((aspect) => {
    const [from, to] = [old, now].map((mount) => {
      const value = mount[aspect];
      return aspect === 'mode' && typeof value === 'number' ? value.toString(8) : textOf(value);
    });
    return from === to ? [] : [{ what: 'mount', name, aspect, from: from!, to: to! }];
  });
}

function compareInputs(before: ComparedStep, after: ComparedStep): KeyChange[] {
  const [was, is] = [before.record, after.record];
  const names = new Set([...Object.keys(was.inputs), ...Object.keys(is.inputs)]);
  const differing = [...names].filter((name) => was.inputs[name] !== is.inputs[name]);
  if (differing.length === 0) return [];
  const said = compareSayings(before.says ?? {}, after.says ?? {});
  if (said.length > 0) return said; // then every file lands elsewhere, or as another one's
  const [old, now] = [before, after].map(({ files }) => fileSets(files ?? ''));
  return differing.flatMap((name): KeyChange[] => {
    const [from, to] = [old!.get(name), now!.get(name)];
    const shared = name in was.inputs && name in is.inputs;
    if (from === undefined || to === undefined) return shared ? [unlisted(name)] : []; // a mount that came or went is told above
    const changes = compareFiles(from, to);
    const show = shownPath(name, after.says ?? {});
    return changes.length === 0
      ? [unlisted(name)]
      : dropContents(changes).flatMap((change) => fileChanges(change, show));
  });
}

/** The list of files is lost, or what differs is none of them. */
function unlisted(input: string): KeyChange {
  return { what: 'files', name: input };
}

function compareSayings(was: Readonly<Record<string, string>>, is: Readonly<Record<string, string>>): KeyChange[] {
  const where = ['destination', '--chown', '--chmod', '--parents', '--exclude'];
  return where.flatMap((what) => changed(what, was[what] ?? '', is[what] ?? ''));
}

/** Of what is new or gone as a whole the directory tells enough. */
function dropContents(changes: readonly FileChange[]): FileChange[] {
  const isWhole = ({ how, isDirectory }: FileChange): boolean => isDirectory && (how === 'new' || how === 'gone');
  const whole = new Set(changes.filter(isWhole).map(({ path, how }) => `${how} ${path}`));
  if (whole.size === 0) return [...changes];
  const above = ({ path, how }: FileChange): boolean => {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      if (whole.has(`${how} ${path.slice(0, at)}`)) return true;
    }
    return false;
  };
  return changes.filter((change) => !above(change));
}

function fileChanges(
  { path, isDirectory, how, aspects, from }: FileChange,
  show: (path: string) => string,
): KeyChange[] {
  const name = `${show(path)}${isDirectory ? '/' : ''}`;
  if (how === 'renamed') return [{ what: 'file', name, aspect: 'renamed', from: show(from!), to: name }];
  if (how !== 'changed') return [{ what: 'file', name, aspect: how }];
  return aspects.map((each) => ({ what: 'file', name, ...each }));
}

/** As the step sees it in a mount; of a COPY, what lies below the destination, which is what lies below the source. */
function shownPath(input: string, says: Readonly<Record<string, string>>): (path: string) => string {
  const dest = (says.destination ?? '').replace(/^\/+|\/+$/g, '');
  return (path) => {
    const shown = displayPath(path as Parameters<typeof displayPath>[0]);
    if (input !== 'content') return `${input}${shown === '' || shown.startsWith('/') ? '' : '/'}${shown}`;
    if (shown === dest)
      return /[ *?[<]/.test(says.source ?? '*') ? (shown.split('/').at(-1) ?? shown) : (says.source ?? shown);
    return dest !== '' && !shown.startsWith(`${dest}/`) ? `/${shown}` : shown.slice(dest === '' ? 0 : dest.length + 1);
  };
}
