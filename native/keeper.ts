// A process that holds the indexes of layers mounted from step to step (launcher/keeper.h), at work from the second step
// on. It only saves time: without it every launcher mounts what it needs.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { endProcess, launcherFile } from './launcher-pool.js';
import type { LayerMount } from './types.js';

export interface Keeper {
  /** What is held mounted now, for the description of a step. */
  held(): HeldLayers | undefined;
  /** Has the layers mounted for later steps. */
  hold(layers: readonly LayerMount[]): void;
  /** Returns when nothing is mounted any more. */
  close(): Promise<void>;
}

export interface HeldLayers {
  readonly pid: number;
  /** By path of the index: the keeper's descriptor. */
  readonly descriptors: ReadonlyMap<string, number>;
}

export function openKeeper(): Keeper {
  const descriptors = new Map<string, number>();
  const asked: string[] = [];
  let child: ChildProcess | undefined;
  let ready = false;
  const start = (): ChildProcess => {
    const started = spawn(launcherFile(), ['keep'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      cwd: '/',
      env: {},
      detached: true,
    });
    started.on('error', () => {}); // the launcher of a step meets the same, and says so
    started.stdin.on('error', () => {});
    started.once('exit', () => {
      ready = false; // no kernel for it, or it was killed
      descriptors.clear();
    });
    createInterface({ input: started.stdout }).on('line', (line) => {
      if (!ready) ready = line === 'ready';
      else if (line !== '-1') descriptors.set(asked.shift()!, Number(line));
      else asked.shift();
    });
    started.unref();
    for (const socket of [started.stdin, started.stdout]) (socket as Socket).unref();
    return started;
  };
  const known = new Set<string>();
  return {
    held: () => (ready && child?.pid !== undefined ? { pid: child.pid, descriptors } : undefined),
    hold: (layers) => {
      const fresh = layers.filter((layer) => layer.kind === 'index').filter(({ index }) => !known.has(index));
      if (fresh.length === 0) return;
      child ??= start();
      for (const { index, tar } of fresh) {
        known.add(index);
        asked.push(index);
        child.stdin?.write(`${index}\0${tar}\0`);
      }
    },
    close: async () => {
      if (child) await endProcess(child, child.stdin);
    },
  };
}
