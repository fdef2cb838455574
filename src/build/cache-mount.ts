// The caches of one step: their directories, held as long as it runs.
import { type Host, rawPath } from '#native';
import { type CacheMountKey, type CacheMountUse, type CacheMountWish, cacheMountName, useCacheMount } from '#store';
import type { RunMount, RunVertex } from '../graph/index.js';
import type { CacheSeed } from './cache-seed.js';
import type { Job } from './job.js';

type CacheMount = Extract<RunMount, { kind: 'cache' }>;

export interface StepCaches {
  /** What the step sees at the mount's target. */
  dirOf(mount: CacheMount): string;
  release(): void;
}

/** Shorter waits are not worth a line. */
const quietMs = 200;

/**
 * Takes every cache of the step, waiting where one is locked. All steps take theirs in the order of their names, so no two
 * of them wait for each other; a cache that is mounted twice is taken once.
 *
 * @throws the reason of `signal`
 */
export async function openCaches(
  job: Job,
  vertex: RunVertex,
  seeds: ReadonlyMap<RunMount, CacheSeed>,
  host: Host,
  signal: AbortSignal,
): Promise<StepCaches> {
  const wishes = new Map<string, CacheMountWish>();
  const nameOf = (mount: CacheMount): string => cacheMountName(keyOf(mount, seeds.get(mount)));
  for (const mount of vertex.mounts) {
    if (mount.kind !== 'cache') continue;
    const name = nameOf(mount);
    wishes.set(name, stricter(wishes.get(name), wishOf(mount, seeds.get(mount), host)));
  }
  const uses = new Map<string, CacheMountUse>();
  const release = (): void => {
    for (const use of uses.values()) use.release();
  };
  try {
    for (const [name, wish] of [...wishes].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const wait = {
        host,
        tempPath: (path: string) => job.lease.path(path),
        signal,
        onBusy: teller(job, vertex, wish),
      };
      uses.set(name, await useCacheMount(job.io.store, wish, wait));
    }
  } catch (error) {
    release();
    throw error;
  }
  return { dirOf: (mount) => uses.get(nameOf(mount))!.dir, release };
}

/** One mount that wants the cache for the whole step wants it for the other, too. */
function stricter(a: CacheMountWish | undefined, b: CacheMountWish): CacheMountWish {
  if (a === undefined) return b;
  const order = ['shared', 'private', 'locked'];
  return order.indexOf(a.sharing) >= order.indexOf(b.sharing) ? a : b;
}

function keyOf({ id, namespace, mode, uid, gid }: CacheMount, seed: CacheSeed | undefined): CacheMountKey {
  return { id, namespace, mode, uid, gid, from: seed?.digest ?? null };
}

/** The host makes the directory: only there are the image's ids known. Later steps find it as the earlier ones left it. */
function wishOf(mount: CacheMount, seed: CacheSeed | undefined, host: Host): CacheMountWish {
  const { uid, gid, mode, sharing } = mount;
  return {
    ...keyOf(mount, seed),
    sharing,
    origin: seed?.origin ?? null,
    fill: (dir) => {
      if (seed !== undefined) return seed.fill(host, dir);
      const mtimeSec = Math.floor(Date.now() / 1000);
      const meta = { mode: mode ?? 0o755, uid: uid ?? 0, gid: gid ?? 0, mtimeSec, mtimeNsec: 0, xattrs: [] };
      return host.applyTree(dir, [{ op: 'dir', path: rawPath(''), meta }]);
    },
  };
}

/** Says once that the step waits. */
function teller({ io }: Job, vertex: RunVertex, { id }: CacheMountWish): () => void {
  const started = performance.now();
  let told = false;
  return () => {
    if (told || performance.now() - started < quietMs) return;
    told = true;
    const what = `waits for the cache ${id}, which another step has locked`;
    io.emit({ type: 'progress', vertex: vertex.id, what, done: 0, total: null });
  };
}
