// Small images for the tests of images and transport.
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { rawPath } from '#native';
import {
  type DiffId,
  type Digest,
  encodeTar,
  type ImageConfig,
  importLayer,
  type Layer,
  type Lease,
  openLease,
  openStore,
  putImage,
  type Store,
  type StoredImage,
} from '#store';
import { assembled } from '../support/assembly.js';

export async function tempDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'tsbuild-image-'));
  // The store's flusher may still be at work in it.
  onTestFinished(() => rm(dir, { recursive: true, force: true, maxRetries: 10 }));
  return dir;
}

export interface Place {
  readonly store: Store;
  readonly lease: Lease;
}

export async function tempStore(): Promise<Place> {
  const store = await openStore(join(await tempDir(), 'store'));
  const lease = await openLease(store, 'test');
  onTestFinished(async () => {
    await lease.release();
    await store.close();
  });
  return { store, lease };
}

export function tarOf(files: Readonly<Record<string, string | Buffer>>): Buffer {
  const { parts } = encodeTar(
    Object.entries(files).map(([path, content]) => {
      const bytes = Buffer.from(content);
      return {
        ...{
          path: rawPath(path),
          type: 'file',
          mode: 0o644,
          uid: 0,
          gid: 0,
          size: bytes.length,
          mtimeSec: 1,
          mtimeNsec: 0,
        },
        ...{ linkTarget: rawPath(''), devMajor: 0, devMinor: 0, xattrs: [], content: { bytes } },
      };
    }),
  );
  return assembled(parts);
}

export async function addLayer(
  { store, lease }: Place,
  files: Readonly<Record<string, string | Buffer>>,
): Promise<Layer> {
  return importLayer(store, lease, once(tarOf(files)));
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

export function configOf(layers: readonly Layer[], more: Partial<ImageConfig> = {}): ImageConfig {
  return {
    created: '2024-01-01T00:00:00Z',
    architecture: 'amd64',
    os: 'linux',
    config: { Env: ['PATH=/bin'], Cmd: ['/bin/sh'], Labels: { b: '2', a: '1' } },
    history: layers.map((_, i) => ({ created_by: `step ${i}` })),
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    ...more,
  };
}

/** Two layers; `seed` makes them differ from other samples. */
export async function sampleImage(place: Place, seed = 'x', more: Partial<ImageConfig> = {}): Promise<StoredImage> {
  const layers = [
    await addLayer(place, { 'etc/base': 'the same in every sample', 'etc/random': randomText(100_000, 'base') }),
    await addLayer(place, { [`srv/${seed}`]: randomText(300_000, seed) }),
  ];
  return putImage(place.store, place.lease, { config: configOf(layers, more) });
}

/** Text that does not compress well, the same for the same seed. */
export function randomText(length: number, seed: string): string {
  let text = '';
  for (let i = 0; text.length < length; i += 1) text += createHash('sha256').update(`${seed}${i}`).digest('base64');
  return text.slice(0, length);
}

export function digestOf(bytes: Buffer | string): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function diffIdsOf(image: StoredImage): readonly DiffId[] {
  return image.config.rootfs.diff_ids;
}
