// The files that a step read, as text: little to keep, and quick to compare with what they were.
//
//   list  = set*              set   = SOH name NUL block*         the files of one input of the key
//   block = STX directory NUL entry*                              a directory's entries that follow each other
//   entry = type mode SP uid SP gid SP digest SP base-name NUL    digest: the start of one, of the content or the link's target
//
// Paths are of single bytes, as they lie on the disk; no name holds NUL, and no entry begins with a control character.
import type { RawPath } from '#native';

export interface ListedFile {
  readonly path: RawPath;
  readonly type: keyof typeof typeLetters;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Hex, of the content or of whatever else makes it different from others of its type; '' where nothing does. */
  readonly digest: string;
}

const typeLetters = {
  file: 'f',
  dir: 'd',
  symlink: 'l',
  hardlink: 'h',
  char: 'c',
  block: 'b',
  fifo: 'p',
  socket: 's',
  archive: 'a',
} as const;

/** Enough of a digest to tell two states of one file apart. */
const digestChars = 12;

/** @param name of the input */
export function encodeFiles(name: string, files: Iterable<ListedFile>): string {
  const parts = [`\x01${name}\0`];
  let directory: string | null = null;
  let last: ListedFile | null = null;
  let head = '';
  for (const file of files) {
    const { path, digest } = file;
    const slash = path.lastIndexOf('/');
    if (directory === null || slash !== directory.length || !path.startsWith(directory)) {
      directory = slash < 0 ? '' : path.slice(0, slash);
      parts.push(`\x02${directory}\0`);
    }
    if (last === null || !isLike(last, file)) {
      head = `${typeLetters[file.type]}${file.mode.toString(8)} ${file.uid} ${file.gid} `;
      last = file;
    }
    parts.push(`${head}${digest.slice(0, digestChars)} ${path.slice(slash + 1)}\0`);
  }
  return parts.join('');
}

function isLike(a: ListedFile, b: ListedFile): boolean {
  return a.mode === b.mode && a.type === b.type && a.uid === b.uid && a.gid === b.gid;
}

/** How a file differs from what it was. */
export interface FileChange {
  readonly path: RawPath;
  readonly isDirectory: boolean;
  readonly how: 'changed' | 'new' | 'gone' | 'renamed';
  /** What of it changed. */
  readonly aspects: readonly FileAspect[];
  /** Where it was, when it was renamed. */
  readonly from: RawPath | null;
}

export type FileAspect =
  | { readonly aspect: 'content' | 'target' | 'device' }
  | { readonly aspect: 'mode' | 'owner' | 'type'; readonly from: string; readonly to: string };

/** What differs between two lists, by path, in byte order. */
export function compareFiles(before: string, after: string): FileChange[] {
  const [was, is] = differingParts(before, after).map(blocksOf) as [Map<string, string>, Map<string, string>];
  const changes: FileChange[] = [];
  for (const directory of new Set([...was.keys(), ...is.keys()])) {
    const [old = '', now = ''] = [was.get(directory), is.get(directory)];
    if (old !== now) changes.push(...compareDirectory(directory, old, now));
  }
  return withRenames(changes, was, is).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Without the blocks with which both begin and both end: of a long list hardly anything is left. */
function differingParts(before: string, after: string): [string, string] {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start + chunk <= shorter && before.slice(start, start + chunk) === after.slice(start, start + chunk))
    start += chunk;
  let end = 0;
  const rest = shorter - start;
  const tail = (text: string, from: number): string => text.slice(text.length - from - chunk, text.length - from);
  while (end + chunk <= rest && tail(before, end) === tail(after, end)) end += chunk;
  const from = Math.max(0, before.lastIndexOf('\0\x02', start - 2));
  const part = (text: string): string => {
    const next = end === 0 ? -1 : text.indexOf('\0\x02', text.length - end);
    return text.slice(from, next < 0 ? text.length : next + 1);
  };
  return [part(before), part(after)];
}

const chunk = 4096;

/** The sets of a list by the names of their inputs. */
export function fileSets(list: string): Map<string, string> {
  const sets = new Map<string, string>();
  for (let at = 0; at < list.length; ) {
    const next = list.indexOf('\0\x01', at) + 1 || list.length;
    sets.set(list.slice(at + 1, list.indexOf('\0', at)), list.slice(at, next));
    at = next;
  }
  return sets;
}

/** How many there are, directories included. */
export function countFiles(set: string): number {
  let count = 0;
  for (const block of blocksOf(set).values()) count += block.split('\0').length - 1;
  return count;
}

/** Entries of each directory; those of one may stand in several places, between its subdirectories. */
function blocksOf(set: string): Map<string, string> {
  const blocks = new Map<string, string>();
  for (const block of set.slice(0, -1).split('\0\x02').slice(1)) {
    const end = block.indexOf('\0');
    const directory = block.slice(0, end);
    blocks.set(directory, `${blocks.get(directory) ?? ''}${block.slice(end + 1)}\0`);
  }
  return blocks;
}

function compareDirectory(directory: string, before: string, after: string): FileChange[] {
  const [was, is] = [entriesOf(before), entriesOf(after)];
  const changes: FileChange[] = [];
  const add = (name: string, how: FileChange['how'], entry: Entry, aspects: readonly FileAspect[]): void => {
    const path = pathOf(directory, name);
    changes.push({ path, how, aspects, isDirectory: entry.type === 'd', from: null });
  };
  for (const [name, text] of is) {
    const old = was.get(name);
    if (old === undefined) add(name, 'new', parseEntry(text), []);
    else if (old !== text) add(name, 'changed', parseEntry(text), compareEntries(parseEntry(old), parseEntry(text)));
  }
  for (const [name, text] of was) if (!is.has(name)) add(name, 'gone', parseEntry(text), []);
  return changes;
}

function pathOf(directory: string, name: string): RawPath {
  return (directory === '' ? name : `${directory}/${name}`) as RawPath;
}

/** What stands before each name. */
function entriesOf(block: string): Map<string, string> {
  const entries = new Map<string, string>();
  for (const entry of block.split('\0').slice(0, -1)) {
    const [head = ''] = entryHead.exec(entry) ?? [];
    entries.set(entry.slice(head.length), head);
  }
  return entries;
}

const entryHead = /^([a-z])(\d+) (\d+) (\d+) ([0-9a-f]*) /;

interface Entry {
  readonly type: string;
  readonly mode: string;
  readonly owner: string;
  readonly digest: string;
}

function parseEntry(head: string): Entry {
  const [, type = '', mode = '', uid = '', gid = '', digest = ''] = entryHead.exec(head) ?? [];
  return { type, mode, owner: `${uid}:${gid}`, digest };
}

function compareEntries(was: Entry, is: Entry): FileAspect[] {
  if (was.type !== is.type) return [{ aspect: 'type', from: typeName(was.type), to: typeName(is.type) }];
  const aspects: FileAspect[] = [];
  if (was.digest !== is.digest) {
    aspects.push({ aspect: 'lh'.includes(is.type) ? 'target' : 'cb'.includes(is.type) ? 'device' : 'content' });
  }
  if (was.mode !== is.mode) aspects.push({ aspect: 'mode', from: was.mode, to: is.mode });
  if (was.owner !== is.owner) aspects.push({ aspect: 'owner', from: was.owner, to: is.owner });
  return aspects;
}

const typeNames: Readonly<Record<string, string>> = {
  f: 'file',
  d: 'directory',
  l: 'symlink',
  h: 'hard link',
  c: 'device',
  b: 'device',
  p: 'pipe',
  s: 'socket',
  a: 'archive',
};

function typeName(letter: string): string {
  return typeNames[letter] ?? letter;
}

/** A file that is gone and a new one that is equal, and none other is, are one that was renamed. */
function withRenames(
  changes: readonly FileChange[],
  was: ReadonlyMap<string, string>,
  is: ReadonlyMap<string, string>,
): FileChange[] {
  const gone = uniqueHeads(changes, 'gone', was);
  const fresh = uniqueHeads(changes, 'new', is);
  const renamed = new Map<FileChange, FileChange>();
  const moved = new Set<FileChange>();
  for (const [head, file] of fresh) {
    const old = gone.get(head);
    if (!file || !old) continue;
    renamed.set(file, { ...file, how: 'renamed', from: old.path });
    moved.add(old);
  }
  return changes.flatMap((change) => (moved.has(change) ? [] : [renamed.get(change) ?? change]));
}

/** Files with content by what is said of them; null where several are equal. */
function uniqueHeads(
  changes: readonly FileChange[],
  how: FileChange['how'],
  blocks: ReadonlyMap<string, string>,
): Map<string, FileChange | null> {
  const heads = new Map<string, FileChange | null>();
  const parsed = new Map<string, Map<string, string>>();
  for (const change of changes) {
    if (change.how !== how || change.isDirectory) continue;
    const slash = change.path.lastIndexOf('/');
    const directory = change.path.slice(0, Math.max(0, slash));
    const entries = parsed.get(directory) ?? entriesOf(blocks.get(directory) ?? '');
    parsed.set(directory, entries);
    const head = entries.get(change.path.slice(slash + 1)) ?? '';
    heads.set(head, heads.has(head) ? null : change);
  }
  return heads;
}
