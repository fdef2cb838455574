// Directories behind cache mounts: they last from build to build, and are part of no layer.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Host, rawPath } from '#native';
import type { Lease } from '#store';
import type { RunMount } from '../graph/index.js';

type CacheMount = Extract<RunMount, { kind: 'cache' }>;

/**
 * The mount's directory, made when missing. Owner and mode are set then; later steps find it as the earlier ones left it.
 * The host makes it: only there are the image's ids known. It lies in a directory of ours, which can be moved whoever owns
 * what is in it.
 */
export async function openCacheMount(mount: CacheMount, storeDir: string, host: Host, lease: Lease): Promise<string> {
  const { id, uid, gid, mode } = mount;
  const name = createHash('sha256')
    .update(JSON.stringify([id, uid, gid, mode]))
    .digest('hex')
    .slice(0, 32);
  const dir = join(storeDir, 'cache', 'mounts', name);
  if (!existsSync(dir)) {
    const made = lease.path('cache-mount');
    mkdirSync(made, { mode: 0o700 });
    const meta = { mode, uid, gid, mtimeSec: Math.floor(Date.now() / 1000), mtimeNsec: 0, xattrs: [] };
    await host.applyTree(join(made, 'root'), [{ op: 'dir', path: rawPath(''), meta }]);
    if (!publish(made, dir)) await host.remove([made]);
  }
  return join(dir, 'root');
}

/** False if another build was faster. */
function publish(made: string, dir: string): boolean {
  mkdirSync(dirname(dir), { recursive: true, mode: 0o700 });
  try {
    renameSync(made, dir);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return false;
    throw error;
  }
}
