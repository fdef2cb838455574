// How a layer is mounted here: by its index where the kernel can, else as a tree. The only place that decides it.
import type { Host, LayerMount } from '#native';
import type { Layer, Lease } from '../types.js';
import type { Store } from './handle.js';
import { makeTree } from './tree.js';

/** The layer in the form that `host` can mount; a tree is made where it is needed and missing. */
export async function mountLayer(store: Store, lease: Lease, host: Host, layer: Layer): Promise<LayerMount> {
  store.protect(layer.diffId);
  if (layer.indexPath !== null && (await mountForm(store, host, layer)) === 'index') {
    return { kind: 'index', index: layer.indexPath, tar: layer.tarPath };
  }
  return { kind: 'tree', dir: await makeTree(store, lease, host, layer) };
}

/** What the store was opened with, else what the kernel can: tried once a boot. */
export async function mountForm(store: Store, host: Host, layer: Layer): Promise<'index' | 'tree'> {
  if (layer.indexPath === null) return 'tree';
  if (store.options.form !== undefined) return store.options.form;
  if (host.kind !== 'root') return 'tree';
  const known = store.database.fact('mounts index');
  if (known !== null) return known === 'yes' ? 'index' : 'tree';
  const can = await host.canMountIndex(layer.indexPath, layer.tarPath);
  if (!store.readOnly) store.database.putFact('mounts index', can ? 'yes' : 'no');
  return can ? 'index' : 'tree';
}
