// Bind mounts of a step: files of the host as they lie there, or parts of stacks of layers.
import { mkdirSync } from 'node:fs';
import type { Host, LayerMount, RawPath, StepMount, StepStack } from '#native';
import type { Lease } from '#store';
import type { RunMount, RunVertex } from '../graph/index.js';

/** What a bind mount shows. `path` is free of symlinks. */
export type BoundFiles =
  | { readonly kind: 'host'; readonly root: string; readonly path: RawPath }
  | {
      readonly kind: 'layers';
      readonly layers: readonly LayerMount[];
      readonly hidden: readonly RawPath[];
      readonly path: RawPath;
    };

type BindMount = Extract<RunMount, { kind: 'bind' }>;

export interface Binds {
  readonly stacks: readonly StepStack[];
  mountOf(mount: BindMount): StepMount;
  /** Removes what the step wrote. */
  remove(): Promise<void>;
}

/** @param filesOf what a mount shows; the same object for the same layers */
export function openBinds(
  vertex: RunVertex,
  filesOf: ReadonlyMap<RunMount, BoundFiles>,
  { host, lease }: { readonly host: Host; readonly lease: Lease },
): Binds {
  const stacks: StepStack[] = [];
  const scratchDirs: string[] = [];
  const scratchDir = (): string => {
    const dir = lease.path(`bind-${vertex.id}`);
    mkdirSync(dir, { mode: 0o700 });
    scratchDirs.push(dir);
    return dir;
  };
  /** Mounts that only read share a stack; what is written into one is seen there alone. */
  const stackOf = (files: Extract<BoundFiles, { kind: 'layers' }>, writable: boolean): number => {
    const { layers, hidden } = files;
    const known = stacks.findIndex(
      (stack) => !writable && stack.scratchDir === null && stack.layers === layers && stack.hidden === hidden,
    );
    if (known >= 0) return known;
    return stacks.push({ layers, hidden, scratchDir: writable ? scratchDir() : null }) - 1;
  };
  return {
    stacks,
    mountOf: (mount) => {
      const files = filesOf.get(mount);
      if (files === undefined) throw new Error(`nothing is known of what to mount at ${mount.target}`);
      const { path } = files;
      const { target } = mount;
      if (files.kind === 'host') {
        return { kind: 'bind', root: files.root, path, target, readonly: true, ownerIsRoot: true };
      }
      return { kind: 'stack', stack: stackOf(files, mount.writable), path, target };
    },
    remove: () => host.remove(scratchDirs),
  };
}
