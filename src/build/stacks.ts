import type { Host, LayerMount } from '#native';
import { type DiffId, type Layer, mountLayer, openLayerSources, openView, type RootView, visibleLayers } from '#store';
import { type Job, requireLayer } from './job.js';

/**
 * Stacks of layers as look-ups see them and as steps mount them; each opened once a build, and so is each layer: every
 * step's stack has all those of the step before.
 */
export interface Stacks {
  view(stack: readonly DiffId[]): RootView;
  mounts(stack: readonly DiffId[], host: Host): Promise<readonly LayerMount[]>;
  close(): void;
}

export function openStacks(job: Job): Stacks {
  const views = new Map<readonly DiffId[], RootView>();
  const layers = new Map<DiffId, Layer>();
  const sources = openLayerSources();
  const mounts = new Map<string, Promise<readonly LayerMount[]>>();
  const layersOf = (stack: readonly DiffId[]): Layer[] =>
    stack.map((diffId) => remember(layers, diffId, () => requireLayer(job, diffId)));
  const mount = (stack: readonly DiffId[], host: Host): Promise<readonly LayerMount[]> =>
    Promise.all(visibleLayers(layersOf(stack)).map((layer) => mountLayer(job.io.store, job.lease, host, layer)));

  return {
    view: (stack) => remember(views, stack, () => openView(layersOf(stack), sources)),
    mounts: (stack, host) => remember(mounts, stack.join(), () => mount(stack, host)),
    close: () => {
      for (const view of views.values()) view.close();
    },
  };
}

function remember<K, T>(known: Map<K, T>, key: K, make: () => T): T {
  const value = known.get(key) ?? make();
  known.set(key, value);
  return value;
}
