// RUN --mount: what a step sees besides its root.
import { posix } from 'node:path';
import { BuildError } from '../base/index.js';
import { type Mount, type MountFlag, parseMount } from '../buildfile/index.js';
import { findContext } from './named-context.js';
import { notSupported } from './refuse.js';
import { lookupIn, type PlanContext, type StageState } from './stage-state.js';
import type { RunMount } from './types.js';
import { expand } from './variables.js';

/** @throws BuildError MOUNT_INVALID, NOT_SUPPORTED */
export function planMount(context: PlanContext, state: StageState, flag: MountFlag): RunMount {
  const mount = parseMount(flag, (word) => expand(word, lookupIn(state), context.expandOptions));
  const { at } = mount;
  switch (mount.type) {
    case 'bind':
      return {
        kind: 'bind',
        from: bindSource(context, mount),
        source: posix.join('/', mount.source ?? ''),
        target: targetPath(state, mount, mount.target ?? ''),
        at,
      };
    case 'cache':
      requireOwnCache(mount);
      return {
        kind: 'cache',
        id: mount.id ?? cleanTarget(mount.target ?? ''),
        namespace: context.options.buildArgs.get('BUILDKIT_CACHE_MOUNT_NS') ?? '',
        sharing: mount.sharing ?? 'shared',
        target: targetPath(state, mount, mount.target ?? ''),
        readonly: mount.readonly,
        mode: mount.mode,
        uid: mount.uid,
        gid: mount.gid,
        at,
      };
    case 'tmpfs':
      return { kind: 'tmpfs', target: targetPath(state, mount, mount.target ?? ''), sizeBytes: mount.sizeBytes, at };
    case 'secret':
      return planSecret(state, mount);
    case 'ssh':
      throw notSupported('an ssh mount', mount.keys.get('type')?.at ?? at, 'mount a key with type=secret instead');
  }
}

function bindSource(context: PlanContext, mount: Mount): Extract<RunMount, { kind: 'bind' }>['from'] {
  if (!mount.readonly) {
    const key = mount.keys.get('readwrite') ?? mount.keys.get('readonly');
    throw notSupported('a writable bind mount', key?.at ?? mount.at, 'copy the files with COPY, or leave it read-only');
  }
  const { from } = mount;
  if (!from || from.text === '') return { kind: 'context', name: null };
  const named = findContext(context.options, from.text);
  if (named?.kind === 'directory') return { kind: 'context', name: named.name };
  throw notSupported('a bind mount from a stage or an image', from.at, `copy the files with COPY --from=${from.text}`);
}

/** A cache that only this mount's id and owner decide about. */
function requireOwnCache({ keys }: Mount): void {
  const from = keys.get('from') ?? keys.get('source');
  if (from) throw notSupported('a cache that begins with files from elsewhere', from.at);
}

/** A cache without an id has its target's, as it is written. */
function cleanTarget(target: string): string {
  return posix.normalize(target).replace(/(?<=.)\/$/, '');
}

function planSecret(state: StageState, mount: Mount): RunMount {
  const id = mount.source ?? mount.id ?? posix.basename(mount.target ?? '');
  const file = mount.target ?? (mount.env === null ? `/run/secrets/${posix.basename(id)}` : null);
  return {
    kind: 'secret',
    id,
    target: file === null ? null : targetPath(state, mount, file),
    env: mount.env,
    required: mount.required,
    mode: mount.mode ?? 0o400,
    uid: mount.uid ?? 0,
    gid: mount.gid ?? 0,
    at: mount.at,
  };
}

function targetPath(state: StageState, mount: Mount, target: string): string {
  const path = posix.resolve('/', state.config.WorkingDir ?? '/', target);
  if (path !== '/') return path;
  const word = mount.keys.get('target');
  throw new BuildError('MOUNT_INVALID', { message: 'a mount can not cover the root', at: word?.at ?? mount.at });
}
