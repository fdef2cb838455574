// Images as others make them, and the six kinds of places that they are copied between.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import {
  copyImage,
  type Descriptor,
  type Digest,
  dirDestination,
  dockerArchiveDestination,
  findImage,
  type ImageDestination,
  type ImageSource,
  layoutDestination,
  mediaTypes,
  ociArchiveDestination,
  openDirSource,
  openDockerArchiveSource,
  openLayoutSource,
  openOciArchiveSource,
  openRegistrySource,
  openStoreSource,
  parseReference,
  registryDestination,
  type Scratch,
  storeDestination,
} from '#store';
import { randomText, tarOf, tempDir, tempStore } from './image-samples.js';
import { type RunningRegistry, startRegistry } from './transport-server.js';

export const environment = { HOME: '/nonexistent', PATH: process.env.PATH };
/** For `tag` everywhere. */
export const tag = 'it:1';

export type Kind = 'docker' | 'oci' | 'oci-archive' | 'docker-archive' | 'dir' | 'store';
export const kinds: readonly Kind[] = ['docker', 'oci', 'oci-archive', 'docker-archive', 'dir', 'store'];

export interface CopyPlace {
  readonly kind: Kind;
  /** As skopeo names it; null for stores. */
  readonly address: string | null;
  open(): Promise<ImageSource>;
  destination(): ImageDestination;
}

export async function tempScratch(): Promise<Scratch> {
  const dir = await tempDir();
  let count = 0;
  return { path: (name) => join(dir, `${count++}-${name}`) };
}

/** @param registry started on first use, and shared by the places of one test */
export async function makePlace(kind: Kind, registry: () => Promise<RunningRegistry>): Promise<CopyPlace> {
  const dir = await tempDir();
  const scratch = await tempScratch();
  switch (kind) {
    case 'docker': {
      const name = `${(await registry()).name}/r${createHash('sha256').update(dir).digest('hex').slice(0, 8)}/${tag}`;
      const reference = parseReference(name);
      return {
        kind,
        address: `docker://${name}`,
        open: () => openRegistrySource(reference, { environment }),
        destination: () => registryDestination(reference, { environment }),
      };
    }
    case 'oci': {
      const path = join(dir, 'layout');
      return {
        kind,
        address: `oci:${path}:${tag}`,
        open: () => openLayoutSource(path, tag),
        destination: () => layoutDestination(path, tag),
      };
    }
    case 'oci-archive': {
      const file = join(dir, 'oci.tar');
      return {
        kind,
        address: `oci-archive:${file}:${tag}`,
        open: () => openOciArchiveSource(scratch, file, tag),
        destination: () => ociArchiveDestination({ name: file, target: file, tag }),
      };
    }
    case 'docker-archive': {
      const file = join(dir, 'docker.tar');
      return {
        kind,
        address: `docker-archive:${file}:${tag}`,
        open: () => openDockerArchiveSource(scratch, file, tag),
        destination: () => dockerArchiveDestination({ name: file, target: file, tag }, scratch),
      };
    }
    case 'dir': {
      const path = join(dir, 'dir');
      return {
        kind,
        address: `dir:${path}`,
        open: () => openDirSource(path),
        destination: () => dirDestination(path),
      };
    }
    case 'store': {
      const { store, lease } = await tempStore();
      return {
        kind,
        address: null,
        open: async () => openStoreSource(store, lease, findImage(store, tag).digest, tag),
        destination: () =>
          storeDestination({ store, lease, tag, unpack: ({ architecture }) => architecture === 'amd64' }),
      };
    }
  }
}

/** One registry for all the places of a test. */
export function oneRegistry(): () => Promise<RunningRegistry> {
  let running: Promise<RunningRegistry> | undefined;
  return () => {
    running ??= startRegistry();
    return running;
  };
}

/** Every blob and document of an image, read and checked: what is copied into a layout is. */
export async function readWhole(source: ImageSource): Promise<Digest> {
  const { descriptor } = await copyImage(source, layoutDestination(join(await tempDir(), 'read'), undefined));
  return descriptor.digest;
}

export interface SampleLayout {
  readonly dir: string;
  readonly digest: Digest;
}

/** Blobs under their digests, and an index.json that names the last of them. */
export class LayoutMaker {
  constructor(readonly dir: string) {
    mkdirSync(join(dir, 'blobs/sha256'), { recursive: true });
    writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  }

  blob(mediaType: string, bytes: Buffer): Descriptor {
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(this.dir, 'blobs/sha256', hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  }

  json(mediaType: string, value: unknown): Descriptor {
    return this.blob(mediaType, Buffer.from(JSON.stringify(value, null, 3)));
  }

  name(root: Descriptor): SampleLayout {
    const manifests = [{ ...root, annotations: { 'org.opencontainers.image.ref.name': tag } }];
    writeFileSync(join(this.dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
    return { dir: this.dir, digest: root.digest };
  }
}

export type LayerForm = 'gzip' | 'zstd';

/** An image of two layers; compressed by others than us, so that we could not make the blobs again. */
export function addImage(
  layout: LayoutMaker,
  architecture: string,
  compress: (tar: Buffer) => Buffer,
  type: string,
): Descriptor {
  const tars = ['base', architecture].map((seed) => tarOf({ [`srv/${seed}`]: randomText(200_000, seed) }));
  const layers = tars.map((tar) => layout.blob(type, compress(tar)));
  const config = layout.json(mediaTypes.ociConfig, {
    architecture,
    os: 'linux',
    config: { Cmd: ['/bin/sh'] },
    rootfs: {
      type: 'layers',
      diff_ids: tars.map((tar) => `sha256:${createHash('sha256').update(tar).digest('hex')}`),
    },
  });
  const mediaType = mediaTypes.ociManifest;
  return layout.json(mediaType, { schemaVersion: 2, mediaType, config, layers });
}

export function foreignGzip(tar: Buffer): Buffer {
  return gzipSync(tar, { level: 1, memLevel: 3 });
}

export async function gzipImage(): Promise<SampleLayout> {
  const layout = new LayoutMaker(join(await tempDir(), 'gzip'));
  return layout.name(addImage(layout, 'amd64', foreignGzip, mediaTypes.ociLayerGzip));
}

/** Two platforms, and what is attested about each of them, as BuildKit lays it out. */
export async function attestedIndex(): Promise<SampleLayout> {
  const layout = new LayoutMaker(join(await tempDir(), 'index'));
  const images = ['amd64', 'arm64'].map((architecture) => ({
    ...addImage(layout, architecture, foreignGzip, mediaTypes.ociLayerGzip),
    platform: { os: 'linux', architecture },
  }));
  const about = images.map((image) => addAttestation(layout, image));
  const mediaType = mediaTypes.ociIndex;
  return layout.name(layout.json(mediaType, { schemaVersion: 2, mediaType, manifests: [...images, ...about] }));
}

function addAttestation(layout: LayoutMaker, { digest }: Descriptor): Descriptor {
  const statement = layout.json('application/vnd.in-toto+json', { _type: 'https://in-toto.io/Statement/v0.1', digest });
  const config = layout.json(mediaTypes.ociConfig, {
    architecture: 'unknown',
    os: 'unknown',
    config: {},
    rootfs: { type: 'layers', diff_ids: [statement.digest] },
  });
  const mediaType = mediaTypes.ociManifest;
  return {
    ...layout.json(mediaType, { schemaVersion: 2, mediaType, config, layers: [statement] }),
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations: {
      'vnd.docker.reference.digest': digest,
      'vnd.docker.reference.type': 'attestation-manifest',
    },
  };
}
