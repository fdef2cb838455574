// Files of this machine → entries of a layer: each with the symlinks and directories that lead to it, none twice.
import { lstatSync, readdirSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { type RawPath, rawPath, type Xattr } from '#native';
import { bareMeta, type DraftEntry } from '#store';

/** Everything added so far. */
export interface HostFiles {
  /**
   * Adds the file or directory (without its children) that `path` (absolute) leads to. Private files stay out.
   *
   * @returns realpaths of the regular files that were added now
   */
  add(path: string): string[];
  /** The same, and if it is a directory all that is beneath it. */
  addTree(path: string): string[];
  /** Adds a file or directory that is not this machine's, unless there is one of that path. */
  make(entry: MadeEntry): void;
  /** Paths of this machine that were added, symlinks and directories included; `whole` where all beneath was added. */
  paths(): { readonly path: string; readonly whole: boolean }[];
  /**
   * In byte order of path. What has no time of its own gets the newest file's, so that equal files give equal entries.
   *
   * @param xattrsOf those of a regular file that belong in an image (file capabilities)
   */
  drafts(xattrsOf: (path: string) => readonly Xattr[]): DraftEntry[];
}

export interface MadeEntry {
  readonly path: string;
  readonly type: 'file' | 'dir' | 'symlink';
  readonly mode: number;
  readonly text?: string;
}

/** @param skip what stays behind when whole directories are added */
export function hostFiles(skip: (path: string) => boolean): HostFiles {
  const entries = new Map<string, Entry>();
  const asked = new Set<string>();

  const addPath = (path: string, links: number): { added: string[]; end: string } => {
    if (links > linkLimit) return { added: [], end: '' };
    let at = '';
    const names = path.split('/').filter((name) => name !== '' && name !== '.');
    for (const [i, name] of names.entries()) {
      const next = name === '..' ? at.slice(0, Math.max(0, at.lastIndexOf('/'))) : `${at}/${name}`;
      const stat = next === '' ? undefined : (entries.get(next)?.stat ?? lstatSync(next));
      const rest = names.slice(i + 1).join('/');
      if (stat?.isSymbolicLink()) {
        const target = readlinkSync(next);
        entries.set(next, { stat, target });
        return addPath(target.startsWith('/') ? `${target}/${rest}` : `${at}/${target}/${rest}`, links + 1);
      }
      if (stat && !entries.has(next)) {
        if (isPrivate(stat)) return { added: [], end: '' };
        entries.set(next, { stat });
        if (stat.isFile()) return { added: [next], end: next };
      }
      at = next;
    }
    return { added: [], end: at };
  };

  const addTree = (path: string): string[] => {
    const { added, end } = addPath(path, 0);
    return end !== '' && entries.get(end)?.stat?.isDirectory() ? addChildren(end) : added;
  };

  const addChildren = (dir: string): string[] => {
    const known = entries.get(dir);
    if (known?.complete || skip(dir)) return [];
    entries.set(dir, { ...known, complete: true });
    return readdirSync(dir).flatMap((name) => {
      const path = `${dir}/${name}`;
      if (skip(path)) return [];
      return isCarried(path) ? addTree(path) : [];
    });
  };

  return {
    add: (path) => {
      if (asked.has(path)) return []; // most libraries are needed by many
      asked.add(path);
      return addPath(path, 0).added;
    },
    addTree,
    make: (made) => {
      if (!entries.has(made.path)) entries.set(made.path, { made });
    },
    paths: () =>
      [...entries].flatMap(([path, { stat, complete }]) => (stat ? [{ path, whole: complete === true }] : [])),
    drafts: (xattrsOf) => toDrafts(entries, xattrsOf),
  };
}

interface Entry {
  readonly stat?: Stats;
  readonly target?: string;
  readonly made?: MadeEntry;
  /** A directory whose children are all here. */
  readonly complete?: boolean;
}

const linkLimit = 40;

/** Not for everyone to read: a Buildfile, which may be a stranger's, must not carry it off into an image. */
export function isPrivate(stat: Stats): boolean {
  return stat.isFile() && (stat.mode & 0o004) === 0;
}

/** Sockets and devices, broken links and links to other directories are nothing that a program brings with it. */
function isCarried(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true || (stat?.isDirectory() === true && !lstatSync(path).isSymbolicLink());
}

function toDrafts(entries: ReadonlyMap<string, Entry>, xattrsOf: (path: string) => readonly Xattr[]): DraftEntry[] {
  const sorted = [...entries].sort(([a], [b]) => (rawPath(a) < rawPath(b) ? -1 : 1));
  const times = sorted.flatMap(([, { stat }]) => (stat?.isFile() ? [stat.mtimeMs] : []));
  const newestSec = Math.floor(times.reduce((a, b) => Math.max(a, b), 0) / 1000);
  const firstNames = new Map<string, RawPath>();
  return sorted.map(([name, entry]) => {
    const path = rawPath(name.slice(1));
    // Owned by root, whoever owns it here.
    const common = { ...bareMeta, path, mtimeSec: newestSec };
    if (entry.made) return madeDraft(common, entry.made);
    const { stat, target } = entry;
    if (target !== undefined) return { ...common, type: 'symlink', mode: 0o777, linkTarget: rawPath(target) };
    if (!stat?.isFile()) return { ...common, type: 'dir', mode: (stat?.mode ?? 0o755) & 0o7777 };
    const inode = `${stat.dev}:${stat.ino}`;
    const first = stat.nlink > 1 ? firstNames.get(inode) : undefined;
    const file = { ...common, mode: stat.mode & 0o7777, mtimeSec: Math.floor(stat.mtimeMs / 1000) };
    if (first !== undefined) return { ...file, type: 'hardlink', linkTarget: first };
    firstNames.set(inode, path);
    return {
      ...file,
      type: 'file',
      xattrs: xattrsOf(name),
      size: stat.size,
      ...(stat.size > 0 && { content: { root: '/', path, offset: 0 } }),
    };
  });
}

function madeDraft(common: typeof bareMeta & { path: RawPath }, made: MadeEntry): DraftEntry {
  const { type, mode, text = '' } = made;
  if (type === 'symlink') return { ...common, type, mode, linkTarget: rawPath(text) };
  if (type === 'dir') return { ...common, type, mode };
  const bytes = Buffer.from(text);
  return { ...common, type, mode, size: bytes.length, ...(bytes.length > 0 && { content: { bytes } }) };
}
