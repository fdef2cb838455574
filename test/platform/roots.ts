// Roots made of a few files, as layers of a real store.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rawPath } from '#native';
import {
  commitDraft,
  type DraftEntry,
  type Layer,
  type Lease,
  openLease,
  openStore,
  openView,
  type RootView,
  type Store,
} from '#store';

/** Content and mode of a file (0755 unless given), or the target of a symlink. */
export type FileSpec =
  | string
  | Buffer
  | { readonly bytes: string | Buffer; readonly mode: number }
  | { readonly link: string };

export interface TestStore {
  readonly store: Store;
  readonly lease: Lease;
  layer(files: Readonly<Record<string, FileSpec>>): Promise<Layer>;
  /** One layer for each argument, base first. */
  root(...layers: readonly Readonly<Record<string, FileSpec>>[]): Promise<RootView>;
  close(): Promise<void>;
}

export async function openTestStore(): Promise<TestStore> {
  const dir = mkdtempSync(join(tmpdir(), 'tsbuild-platform-'));
  const store = await openStore(dir);
  const lease = await openLease(store, 'test');
  const layer = async (files: Readonly<Record<string, FileSpec>>): Promise<Layer> =>
    (await commitDraft(store, lease, toDrafts(files))).layer;
  return {
    store,
    lease,
    layer,
    root: async (...layers) => openView(await Promise.all(layers.map(layer))),
    close: async () => {
      await lease.release();
      await store.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Parents first, in byte order. */
function toDrafts(files: Readonly<Record<string, FileSpec>>): DraftEntry[] {
  const drafts = new Map<string, DraftEntry>();
  for (const [path, spec] of Object.entries(files)) {
    const names = path.split('/');
    for (let i = 1; i < names.length; i++) {
      const dir = names.slice(0, i).join('/');
      drafts.set(dir, { ...meta, path: rawPath(dir), type: 'dir', mode: 0o755 });
    }
    drafts.set(path, toDraft(path, spec));
  }
  return [...drafts.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function toDraft(path: string, spec: FileSpec): DraftEntry {
  const common = { ...meta, path: rawPath(path) };
  if (typeof spec === 'object' && 'link' in spec) {
    return { ...common, type: 'symlink', mode: 0o777, linkTarget: rawPath(spec.link) };
  }
  const { bytes, mode } = typeof spec === 'string' || Buffer.isBuffer(spec) ? { bytes: spec, mode: 0o755 } : spec;
  const content = Buffer.from(bytes);
  return {
    ...common,
    type: 'file',
    mode,
    size: content.length,
    ...(content.length > 0 && { content: { bytes: content } }),
  };
}

const meta = {
  uid: 0,
  gid: 0,
  size: 0,
  mtimeSec: 1_700_000_000,
  mtimeNsec: 0,
  linkTarget: rawPath(''),
  devMajor: 0,
  devMinor: 0,
  xattrs: [],
};
