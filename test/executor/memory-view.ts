// A RootView over entries given in the test: what the store's view of real layers would show, without layers.
import type { RawPath } from '#native';
import type { EntryMeta, RootView, ViewEntry } from '#store';
import { parentPath, resolveLinks } from '../../src/executor/copy-links.js';

export type Files = Readonly<Record<string, Partial<EntryMeta> & { text?: string; inode?: number }>>;

/** Missing parents are made, 0755 root. */
export function memoryView(files: Files): RootView {
  const entries = new Map<string, ViewEntry>();
  const bytes = new Map<number, Buffer>();
  let inodes = 0;
  const add = (path: string, given: Files[string]): void => {
    const parent = parentPath(path as RawPath);
    if (parent !== '' && !entries.has(parent)) add(parent, { type: 'dir', mode: 0o755 });
    const type = given.type ?? (given.text === undefined ? 'dir' : 'file');
    if (type === 'hardlink') throw new Error('a view shows inodes');
    const text = Buffer.from(given.text ?? '');
    const inode = given.inode ?? --inodes;
    bytes.set(inode, text);
    entries.set(path, {
      path: path as RawPath,
      type,
      mode: given.mode ?? (type === 'dir' ? 0o755 : type === 'symlink' ? 0o777 : 0o644),
      uid: given.uid ?? 0,
      gid: given.gid ?? 0,
      size: text.length,
      mtimeSec: given.mtimeSec ?? 1_600_000_000,
      mtimeNsec: given.mtimeNsec ?? 0,
      linkTarget: (given.linkTarget ?? '') as RawPath,
      devMajor: given.devMajor ?? 0,
      devMinor: given.devMinor ?? 0,
      xattrs: given.xattrs ?? [],
      content: text.length > 0 ? { bytes: text } : null,
      layer: 0,
      inode,
    });
  };
  for (const [path, given] of Object.entries(files)) add(path, given);

  const resolve = (path: RawPath, follow: boolean): RawPath => {
    const resolved = resolveLinks((at) => entries.get(at) ?? null, path, follow);
    if (resolved === null) throw new Error('loop');
    return resolved;
  };
  return {
    lookup: (path, follow) => entries.get(resolve(path, follow)) ?? null,
    resolve: (path) => resolve(path, true),
    list: (dir) =>
      [...entries.values()]
        .filter((entry) => entry.path !== '' && parentPath(entry.path) === dir)
        .sort((a, b) => (a.path < b.path ? -1 : 1)),
    read: (entry, maxBytes) => bytes.get(entry.inode)!.subarray(0, maxBytes),
    close: () => {},
  };
}
