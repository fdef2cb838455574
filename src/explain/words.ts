// What differs, in one line for people: short, concrete, in the words of the Buildfile.
import type { KeyChange } from '../base/index.js';

/** Names said of each kind; the others are counted. */
const namedFiles = 3;
const namedOthers = 3;

/** 'ARG VERSION: 1.2 → 1.3; 2 files changed: a.ts (content), b.sh (mode 644→755)'. */
export function changesText(changes: readonly KeyChange[]): string {
  const files = changes.filter(({ what }) => what === 'file');
  const others = changes.filter(({ what }) => what !== 'file').map(changeText);
  return [...listed(others, namedOthers, '; '), ...filesText(files)].join('; ');
}

/** One component that is no file. */
export function changeText(change: KeyChange): string {
  const { what, name, aspect, from, to } = change;
  switch (what) {
    case 'arg':
    case 'env':
      return variableText(change);
    case 'mount': {
      const mount = name === undefined ? '--mount' : `--mount=${name}`;
      if (aspect === 'order') return 'the order of its --mount flags';
      return aspect === 'new' || aspect === 'gone' ? `${mount} is ${aspect}` : `${mount}: ${aspect} ${arrow(from, to)}`;
    }
    case 'files':
      return name === 'content' ? 'its files changed' : `what ${name} shows changed`;
    case 'instruction':
      return 'another instruction stands here';
    case 'cache version':
      return 'it was made by another version of tsbuild, whose records have another meaning';
    case 'base':
      return `base image ${name === undefined ? arrow(from, to) : `${name}: ${arrow(from, to)}`}`;
    case 'file':
      return fileText(change);
    default:
      return `${what}: ${arrow(from, to)}`;
  }
}

function variableText({ what, name, aspect, from, to, hidden }: KeyChange): string {
  const variable = `${what.toUpperCase()} ${name}`;
  if (aspect === 'order') return 'the order of its variables';
  if (hidden) return aspect === 'value' ? `${variable} changed (its value is not shown)` : `${variable} is ${aspect}`;
  if (aspect === 'new') return `${variable} is new (${shown(to)})`;
  if (aspect === 'gone') return `${variable} is gone (was ${shown(from)})`;
  return `${variable}: ${arrow(from, to)}`;
}

function filesText(changes: readonly KeyChange[]): string[] {
  const files = new Map<string, KeyChange[]>();
  for (const change of changes) files.set(change.name ?? '', [...(files.get(change.name ?? '') ?? []), change]);
  const groups = { changed: [] as string[], renamed: [] as string[], new: [] as string[], gone: [] as string[] };
  for (const [name, aspects] of files) {
    const how = aspects[0]?.aspect ?? '';
    const isWhole = how === 'new' || how === 'gone' || how === 'renamed';
    const text = isWhole ? fileText(aspects[0]!) : `${plain(name)} (${aspects.map(aspectText).join(', ')})`;
    groups[isWhole ? how : 'changed'].push(text);
  }
  const { changed, renamed, new: fresh, gone } = groups;
  return [
    ...counted(changed, (count) => `${count} changed`),
    ...counted(renamed, (count) => `${count} renamed`),
    ...counted(fresh, (count) => `${count} added`),
    ...counted(gone, (count) => `${count} removed`),
  ];
}

function counted(names: readonly string[], head: (count: string) => string): string[] {
  if (names.length === 0) return [];
  return [
    `${head(names.length === 1 ? '1 file' : `${names.length} files`)}: ${listed(names, namedFiles, ', ').join(', ')}`,
  ];
}

function fileText({ name, aspect, from, to }: KeyChange): string {
  return aspect === 'renamed' ? `${plain(from ?? '')} → ${plain(to ?? '')}` : plain(name ?? '');
}

function aspectText({ aspect, from, to }: KeyChange): string {
  return from === undefined || to === undefined ? (aspect ?? '') : `${aspect} ${from}→${to}`;
}

/** On one line. */
export function shortened(text: string, most: number): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= most ? line : `${line.slice(0, most - 1)}…`;
}

/** The first ones, and how many more there are. */
function listed(texts: readonly string[], most: number, separator: ', ' | '; '): string[] {
  if (texts.length <= most) return [...texts];
  const rest = `${texts.length - most} more`;
  return separator === ', ' ? [`${texts.slice(0, most).join(', ')} and ${rest}`] : [...texts.slice(0, most), rest];
}

/** Where two long texts begin to differ, with a little before it; of several lines those that do. */
function arrow(from = '', to = ''): string {
  const [a, b] = differingLines(from, to).map(oneLine) as [string, string];
  if (a.length <= maxChars && b.length <= maxChars) return `${shown(a)} → ${shown(b)}`;
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  const start = same <= context ? 0 : a.lastIndexOf(' ', same - context / 2) + 1;
  const cut = (text: string): string => {
    const part = `${start > 0 ? '…' : ''}${text.slice(start)}`;
    return part.length <= maxChars ? part : `${part.slice(0, maxChars - 1)}…`;
  };
  return `${cut(a)} → ${cut(b)}`;
}

function differingLines(from: string, to: string): [string, string] {
  const [a, b] = [from.split('\n'), to.split('\n')];
  if (a.length === 1 && b.length === 1) return [from, to];
  let start = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const part = (lines: readonly string[]): string => lines.slice(start, lines.length - end).join(' ');
  return [part(a), part(b)];
}

const maxChars = 60;
const context = 24;

function shown(value = ''): string {
  const text = oneLine(value);
  if (text === '') return '""';
  return text.length <= maxChars ? text : `${text.slice(0, maxChars - 1)}…`;
}

function oneLine(text: string): string {
  return plain(text.replace(/\s+/g, ' ').trim());
}

/** Whatever a file's name or a variable holds, a terminal gets text. */
function plain(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
