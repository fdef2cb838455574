// The answers of tsbuild why for people.
import { relative } from 'node:path';
import type { Store } from '#store';
import type { KeyChange } from '../base/index.js';
import { changeText, type Miss, type StepEntry } from '../explain/index.js';
import { ago, table } from './table.js';
import type { KnownBuild } from './why-build.js';
import { type Detail, detailOf } from './why-detail.js';

/** Each reason once, root causes first, with the steps that follow from it. */
export function overviewText(build: KnownBuild): string {
  const { steps } = build.record;
  const groups = groupByReason(steps);
  const blocks =
    groups.length > 0 ? groups.map((group) => blockText(steps, group)) : ['every step came from the cache\n'];
  return [headText(build), ...blocks, ...failureText(build)].join('\n');
}

function headText({ id, startedMs, outcome, record }: KnownBuild): string {
  const { buildfile, target, steps } = record;
  const work = steps.filter(({ kind }) => kind !== 'base');
  const cached = work.filter((step) => step.outcome === 'cached').length;
  const executed = work.filter((step) => step.outcome === 'executed').length;
  const rest = (['failed', 'canceled'] as const).flatMap((each) => {
    const found = work.filter((step) => step.outcome === each).length;
    return found === 0 ? [] : `, ${found} ${each}`;
  });
  const which = `${buildfile === '-' ? 'a Buildfile from standard input' : shownPath(buildfile)}${target === null ? '' : `, target ${target}`}`;
  const how = outcome === 'done' ? '' : `, ${outcome}`;
  return `build ${id}, ${ago(startedMs)}${how}: ${which}\n${count(work.length, 'step')}: ${cached} cached, ${executed} executed${rest.join('')}\n`;
}

/** As one types it from here, unless it is elsewhere. */
function shownPath(path: string): string {
  const near = relative('.', path);
  return near.startsWith('..') ? path : near;
}

interface Group {
  readonly miss: Miss;
  /** The steps with this very reason. */
  readonly own: number[];
  /** Those that only follow from them. */
  readonly followers: number[];
}

function groupByReason(steps: readonly StepEntry[]): Group[] {
  const groups = new Map<string, Group>();
  steps.forEach(({ miss }, number) => {
    if (!miss) return;
    const root = rootOf(steps, number);
    const reason = steps[root]?.miss ?? miss; // a base image has none itself
    const key = isShared(steps[root]!, reason) ? `${reason.reason} ${reason.text}` : `#${root}`;
    const group = groups.get(key) ?? { miss: reason, own: [], followers: [] };
    (root === number || reason === miss ? group.own : group.followers).push(number);
    groups.set(key, group);
  });
  return [...groups.values()];
}

/** True for reasons that several steps may have in common: the whole build has them, or all that see a variable. */
function isShared({ kind }: StepEntry, { reason }: Miss): boolean {
  return reason === 'changed' ? kind !== 'copy' : sharedReasons.has(reason);
}

const sharedReasons = new Set<Miss['reason']>(['first-build', 'no-cache', 'no-cache-filter', 'follows']);

/** The step that a step's being executed goes back to. */
function rootOf(steps: readonly StepEntry[], number: number): number {
  let at = number;
  for (let miss = steps[at]?.miss; miss?.reason === 'follows' && miss.cause !== null; miss = steps[at]?.miss)
    at = miss.cause;
  return at;
}

function blockText(steps: readonly StepEntry[], { miss, own, followers }: Group): string {
  const [first = 0] = own;
  const lines = [
    ...(own.length === 1 && miss.reason !== 'follows'
      ? [stepLine(steps, first), `  ${titleOf(miss)}`]
      : [titleOf(miss), ...own.map((number) => `  ${stepLine(steps, number)}`)]),
    ...(miss.cause !== null && miss.reason === 'changed' ? [`  it reads ${stepLine(steps, miss.cause)}`] : []),
    ...(own.length === 1 && steps[first]!.unchanged ? ['  its result is the same as before'] : []),
    ...hintLines(steps, own),
    ...(followers.length > 0 ? ['  and because of that:'] : []),
    ...followers.map((number) => `    ${stepLine(steps, number)}`),
  ];
  return `${lines.join('\n')}\n`;
}

function titleOf({ reason, text }: Miss): string {
  const isOption = reason === 'no-cache' || reason === 'no-cache-filter';
  return plain(isOption ? `executed because of ${text}` : reason === 'first-build' ? `the first build: ${text}` : text);
}

/** Said once; to which steps, where it isn't all of them. */
function hintLines(steps: readonly StepEntry[], own: readonly number[]): string[] {
  const hinted = own.filter((number) => steps[number]!.miss?.hint);
  const hint = hinted.length > 0 ? steps[hinted[0]!]!.miss?.hint : null;
  if (!hint) return [];
  const to = hinted.length === own.length ? '' : ` for ${hinted.map((number) => `#${number + 1}`).join(', ')}`;
  return [`  hint${to}: ${plain(hint)}`];
}

function stepLine(steps: readonly StepEntry[], number: number): string {
  return plain(`#${number + 1} ${steps[number]!.name}`);
}

function failureText({ record }: KnownBuild): string[] {
  const failed = record.steps.findIndex(({ outcome }) => outcome === 'failed');
  return failed < 0 ? [] : [`the build failed in ${stepLine(record.steps, failed)}\n`];
}

/** All that is known of one step's key. */
export function stepText(store: Store, build: KnownBuild, number: number): string {
  const { steps } = build.record;
  const step = steps[number]!;
  const lines = [`${stepLine(steps, number)}\n${outcomeText(step)}\n`];
  if (step.miss?.cause != null) lines.push(`that was caused by ${stepLine(steps, step.miss.cause)}\n`);
  if (step.miss?.hint != null) lines.push(`hint: ${step.miss.hint}\n`);
  if (step.image !== undefined) return `${lines.join('')}image ${step.image}\n`;
  const detail = detailOf(store, build, number);
  return `${lines.join('')}${componentsText(steps, step, detail)}${filesText(detail.changes)}`;
}

function outcomeText({ outcome, durationMs, miss, unchanged, kind }: StepEntry): string {
  if (kind === 'base') return 'a base image: it is looked up in each build';
  if (outcome === 'cached') return 'cached';
  if (outcome === null) return 'never reached';
  const how = { executed: 'executed', failed: 'failed', canceled: 'canceled' }[outcome];
  const result = unchanged ? '; its result is the same as before' : '';
  const why = miss ? `not cached: ${miss.text}\n` : '';
  return `${why}${how} in ${(durationMs / 1000).toFixed(2)}s${result}`;
}

function componentsText(steps: readonly StepEntry[], step: StepEntry, { components, former }: Detail): string {
  if (components === null) return step.key === null ? '' : 'what its key was made of is no longer known\n';
  if (step.miss && former === null) return lineUp(withParent(steps, step, components));
  const title = former
    ? `compared with #${former.step + 1} of build ${former.build.id}, ${ago(former.build.startedMs)}`
    : 'its key';
  return `\n${lineUp(withParent(steps, step, components), title)}`;
}

/** By the step that it is. */
function withParent(
  steps: readonly StepEntry[],
  { parent }: StepEntry,
  components: NonNullable<Detail['components']>,
): NonNullable<Detail['components']> {
  if (parent === null) return components;
  return components.map((each) => (each.name === 'parent' ? { ...each, text: stepLine(steps, parent) } : each));
}

function lineUp(components: NonNullable<Detail['components']>, title = 'its key'): string {
  const rows = components.map(({ name, text, same }) => [
    same === null ? '' : same ? 'same' : 'differs',
    name,
    plain(text),
  ]);
  return `${title}:\n${table(['', 'COMPONENT', 'IS'], rows)}`;
}

function filesText(changes: readonly KeyChange[]): string {
  if (changes.length === 0) return '';
  return `\nwhat differs:\n${changes.map((change) => `  ${plain(changeLine(change))}\n`).join('')}`;
}

function changeLine(change: KeyChange): string {
  return change.what === 'file' ? fileLine(change) : changeText(change);
}

function fileLine({ name = '', aspect = '', from, to }: KeyChange): string {
  if (aspect === 'renamed') return `${name}: renamed, was ${from}`;
  if (aspect === 'new') return `${name}: added`;
  if (aspect === 'gone') return `${name}: removed`;
  return `${name}: ${aspect}${from === undefined ? '' : ` ${from} → ${to}`}`;
}

function count(number: number, what: string): string {
  return number === 1 ? `1 ${what}` : `${number} ${what}s`;
}

/** Names of files and instructions may hold anything; a terminal gets text. */
function plain(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
