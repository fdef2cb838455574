import { readFileSync } from 'node:fs';
import { assembleTar, removeTrees, walkTree } from './batch.js';
import {
  decodeApply,
  decodeAssemble,
  decodeRemove,
  decodeWalk,
  encodeApply,
  encodeAssemble,
  encodeRemove,
  encodeWalk,
} from './batch-codec.js';
import { type Holder, openHolder } from './holder.js';
import { openKeeper } from './keeper.js';
import { launchStep } from './launch.js';
import { launchBatch } from './launch-batch.js';
import { type LauncherPool, openLauncherPool } from './launcher-pool.js';
import { probeIndex } from './probe-index.js';
import { readIdMaps } from './subordinate-ids.js';
import type { Host } from './types.js';

/**
 * The machine as this process may use it. As an ordinary user (or root of some container) everything that touches files
 * of steps happens inside a user namespace; it is made at the first need.
 *
 * @throws SystemError USERNS_IDS, USERNS_REFUSED from its functions
 */
export async function openHost(): Promise<Host> {
  if (process.geteuid?.() !== 0) return userHost(openHolder, readIdMaps() !== undefined);
  return isInitialNamespace() ? rootHost() : userHost(useOwnNamespace, true);
}

/** True where ids are the machine's own: the one map is all ids onto themselves. */
function isInitialNamespace(): boolean {
  const map = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
  return map.join(' ') === '0 0 4294967295';
}

function rootHost(): Host {
  const pool = openLauncherPool([]);
  const keeper = openKeeper();
  let steps = 0;
  const runStep: Host['runStep'] = (spec, handlers) => {
    const ended = launchStep(pool, spec, handlers, keeper.held());
    if (++steps > 1) setImmediate(() => keeper.hold([...spec.layers, ...spec.stacks.flatMap((stack) => stack.layers)])); // a build of one step needs none of it
    return ended;
  };
  return {
    kind: 'root',
    manyIds: true,
    walk: walkTree,
    assemble: assembleTar,
    applyTree: async (dir, ops) => void decodeApply(await launchBatch([], 'apply', encodeApply(dir, ops)), dir),
    remove: removeTrees,
    runStep,
    canMountIndex: probeIndex,
    close: async () => {
      await Promise.all([pool.close(), keeper.close()]);
    },
  };
}

/** Root of a user namespace that someone else made: it is what a holder would give, without one. */
async function useOwnNamespace(): Promise<Holder> {
  return { join: [], close: async () => {} };
}

function userHost(open: () => Promise<Holder>, manyIds: boolean): Host {
  let opening: Promise<{ readonly holder: Holder; readonly pool: LauncherPool }> | undefined;
  const enter = () => {
    opening ??= open().then((holder) => ({ holder, pool: openLauncherPool(holder.join) }));
    return opening;
  };
  const batch = async (verb: string, request: Buffer): Promise<Buffer> =>
    launchBatch((await enter()).holder.join, verb, request);
  return {
    kind: 'user',
    manyIds,
    walk: async (dir, options) => decodeWalk(await batch('walk', encodeWalk(dir, options)), dir),
    assemble: async (request) => decodeAssemble(await batch('assemble', encodeAssemble(request))),
    applyTree: async (dir, ops) => void decodeApply(await batch('apply', encodeApply(dir, ops)), dir),
    remove: async (dirs) => decodeRemove(await batch('remove', encodeRemove(dirs))),
    runStep: async (spec, handlers) => launchStep((await enter()).pool, spec, handlers),
    canMountIndex: async () => false, // EROFS can't be mounted in a user namespace
    close: async () => {
      const opened = await opening?.catch(() => undefined); // who asked for it was told
      await opened?.pool.close();
      await opened?.holder.close();
    },
  };
}
