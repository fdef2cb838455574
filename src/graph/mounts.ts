// RUN --mount: what a step sees besides its root.
import { posix } from 'node:path';
import { BuildError } from '../base/index.js';
import { type Mount, type MountFlag, parseMount } from '../buildfile/index.js';
import { fileSource, lookupIn, type PlanContext, type StageState } from './stage-state.js';
import type { FileSource, RunMount } from './types.js';
import { expand } from './variables.js';

/** @throws BuildError MOUNT_INVALID, MOUNT_SOURCE_NOT_FOUND; whatever is wrong with a from= */
export function planMounts(context: PlanContext, state: StageState, flags: readonly MountFlag[]): RunMount[] {
  let agents = 0;
  return flags.map((flag) => {
    const mount = parseMount(flag, (word) => expand(word, lookupIn(state), context.expandOptions));
    return planMount(context, state, mount, mount.type === 'ssh' ? agents++ : 0);
  });
}

/** @param agent number of an agent's socket among those of the step */
function planMount(context: PlanContext, state: StageState, mount: Mount, agent: number): RunMount {
  const { at } = mount;
  switch (mount.type) {
    case 'bind':
      return {
        kind: 'bind',
        from: bindSource(context, state, mount),
        source: posix.join('/', mount.source ?? ''),
        target: targetPath(state, mount, mount.target ?? ''),
        writable: !mount.readonly,
        at,
      };
    case 'cache':
      return planCache(context, state, mount);
    case 'tmpfs':
      return {
        kind: 'tmpfs',
        target: targetPath(state, mount, mount.target ?? ''),
        sizeBytes: mount.sizeBytes,
        readonly: mount.readonly,
        at,
      };
    case 'secret':
      return planSecret(state, mount);
    case 'ssh':
      return planAgent(state, mount, agent);
  }
}

function bindSource(context: PlanContext, state: StageState, { from }: Mount): FileSource {
  if (!from || from.text === '') return { kind: 'context', name: null };
  return fileSource(context, state, { flag: 'from', word: from });
}

/** Mode and owner are those of a directory that is made; one that is copied keeps its own, as with BuildKit. */
function planCache(context: PlanContext, state: StageState, mount: Mount): RunMount {
  const { from, at } = mount;
  const source = posix.join('/', mount.source ?? '');
  const isCopied = source !== '/';
  if (isCopied && !from?.text) {
    throw new BuildError('MOUNT_SOURCE_NOT_FOUND', {
      message: `a new cache is empty, it has no ${source}`,
      hint: 'add from= with the stage, image or context that has it, or leave out source=',
      at: mount.keys.get('source')?.at ?? at,
    });
  }
  return {
    kind: 'cache',
    id: mount.id ?? cleanTarget(mount.target ?? ''),
    namespace: context.options.buildArgs.get('BUILDKIT_CACHE_MOUNT_NS') ?? '',
    sharing: mount.sharing ?? 'shared',
    from: from?.text ? fileSource(context, state, { flag: 'from', word: from }) : null,
    source,
    target: targetPath(state, mount, mount.target ?? ''),
    readonly: mount.readonly,
    mode: isCopied ? null : mount.mode,
    uid: isCopied ? null : mount.uid,
    gid: isCopied ? null : mount.gid,
    at,
  };
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

function planAgent(state: StageState, mount: Mount, index: number): RunMount {
  return {
    kind: 'ssh',
    id: mount.id || 'default',
    target: targetPath(state, mount, mount.target ?? `/run/buildkit/ssh_agent.${index}`),
    required: mount.required,
    mode: mount.mode ?? 0o600,
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
