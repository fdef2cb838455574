// What lies where on the disk, and which image it belongs to: one walk over the store. All figures are allocated bytes, as
// du(1) counts them; the parts add up to its total.
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { DiffId, Digest } from '../words.js';
import { DiskCount } from './disk-bytes.js';
import { hasCode } from './faults.js';
import type { Store } from './handle.js';
import { indexedImages, type Reached, reachFrom } from './image-objects.js';
import * as paths from './paths.js';

/** By what an object is there for. */
export interface ObjectBytes {
  /** Layers' tars, and the little that is noted beside each. */
  readonly tarBytes: number;
  readonly indexBytes: number;
  readonly treeBytes: number;
  /** Compressed layers, and whatever else is no document. */
  readonly compressedBytes: number;
  /** Configs, manifests, indexes of images, statements about them. */
  readonly documentBytes: number;
}

export interface ImageUsage extends ObjectBytes {
  readonly digest: Digest;
  /** Tags that point at it. */
  readonly references: readonly string[];
  /** Bytes of its layers' tars, as a reader sees them. */
  readonly logicalBytes: number;
  /** On the disk, shared with other images. */
  readonly sharedBytes: number;
  /** On the disk, for this image only. */
  readonly ownBytes: number;
  /** The part of ownBytes that the build cache has too: removing the image does not free it. */
  readonly cachedBytes: number;
}

export interface LayerUsage extends Omit<ObjectBytes, 'documentBytes'> {
  readonly diffId: DiffId;
  readonly logicalBytes: number;
  /** Images that have it. */
  readonly images: readonly Digest[];
  /** The build cache has it. */
  readonly cached: boolean;
}

export interface DiskUsage {
  readonly images: readonly ImageUsage[];
  readonly layers: readonly LayerUsage[];
  readonly layerBytes: number;
  readonly treeBytes: number;
  readonly blobBytes: number;
  /** The part of layers and trees that no image has: it is there for the build cache, or for running builds. */
  readonly cacheBytes: number;
  readonly cacheRecords: number;
  /** Directories behind cache mounts; part of the other bytes. */
  readonly cacheMountBytes: number;
  /** What is neither layer nor tree nor blob. */
  readonly otherBytes: number;
  /** All of it: what `du -s` says of the store's directory. */
  readonly totalBytes: number;
  /** The total once more, by kind. */
  readonly parts: Readonly<Record<StorePart, number>>;
}

export type StorePart =
  | keyof ObjectBytes
  | 'cacheMountBytes'
  | 'downloadBytes'
  | 'gitBytes'
  | 'fileDigestBytes'
  | 'databaseBytes'
  | 'unfinishedBytes'
  | 'trashBytes'
  | 'quarantineBytes'
  | 'reserveBytes'
  | 'remainingBytes';

/** Where a part lies that is neither layer nor tree nor blob. */
const places: Readonly<Record<string, StorePart>> = {
  'cache/mounts': 'cacheMountBytes',
  'cache/downloads': 'downloadBytes',
  'cache/git': 'gitBytes',
  'cache/stat': 'fileDigestBytes',
  'cache/content': 'fileDigestBytes',
  'cache/inputs': 'fileDigestBytes',
  tmp: 'unfinishedBytes',
  uploads: 'unfinishedBytes',
  trash: 'trashBytes',
  quarantine: 'quarantineBytes',
  reserve: 'reserveBytes',
};

/** Reads the size of every file in the store, once. */
export function diskUsage(store: Store): DiskUsage {
  const { database } = store;
  const { objects, parts } = measure(store);
  const totalBytes = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  const sums = {
    layerBytes: parts.tarBytes + parts.indexBytes,
    treeBytes: parts.treeBytes,
    blobBytes: parts.compressedBytes + parts.documentBytes,
  };
  const cached = new Set(database.cache.all().flatMap(({ diffId }) => diffId ?? []));
  const images = imagesOf(store);
  const users = new Map<string, number>();
  for (const { names } of images) for (const name of names) users.set(name, (users.get(name) ?? 0) + 1);
  const sizes = new Map(database.layers().map(({ diffId, size }) => [diffId, size]));
  const imagesOfLayer = new Map<DiffId, Digest[]>();
  for (const { digest, layers } of images) {
    for (const id of layers) {
      const known = imagesOfLayer.get(id);
      if (known === undefined) imagesOfLayer.set(id, [digest]);
      else known.push(digest);
    }
  }
  return {
    images: images.map(({ digest, references, layers, names }) => {
      const bytes = { ...noBytes };
      const total = { sharedBytes: 0, ownBytes: 0, cachedBytes: 0 };
      for (const name of names) {
        const object = objects.get(name) ?? noBytes;
        const size = add(bytes, object);
        if (users.get(name) !== 1) total.sharedBytes += size;
        else total.ownBytes += size;
        if (users.get(name) === 1 && cached.has(name as DiffId)) total.cachedBytes += size;
      }
      const logicalBytes = [...layers].reduce((sum, id) => sum + (sizes.get(id) ?? 0), 0);
      return { digest, references, logicalBytes, ...total, ...bytes };
    }),
    layers: [...sizes].map(([diffId, logicalBytes]) => {
      const { documentBytes: _none, ...bytes } = objects.get(diffId) ?? noBytes;
      const compressedBytes = database
        .compressions(diffId)
        .reduce((sum, { digest }) => sum + (objects.get(digest)?.compressedBytes ?? 0), 0);
      const images = imagesOfLayer.get(diffId) ?? [];
      return { diffId, logicalBytes, ...bytes, compressedBytes, images, cached: cached.has(diffId) };
    }),
    ...sums,
    cacheBytes: [...objects].reduce((sum, [name, { tarBytes, indexBytes, treeBytes }]) => {
      return users.has(name) ? sum : sum + tarBytes + indexBytes + treeBytes;
    }, 0),
    cacheRecords: database.cache.all().length,
    cacheMountBytes: parts.cacheMountBytes,
    otherBytes: totalBytes - sums.layerBytes - sums.treeBytes - sums.blobBytes,
    totalBytes,
    parts,
  };
}

/** Directories whose parts are told one by one. */
const opened = new Set(['', 'layers', 'blobs', 'cache']);

/** Images that have a layer, by their names, or their digest where they have none. */
export function layerUsers(store: Store): ReadonlyMap<DiffId, readonly string[]> {
  const users = new Map<DiffId, string[]>();
  for (const { digest, references, layers } of imagesOf(store)) {
    const names = references.length > 0 ? references : [digest];
    for (const id of layers) {
      const known = users.get(id);
      if (known === undefined) users.set(id, [...names]);
      else known.push(...names);
    }
  }
  return users;
}

const noBytes: ObjectBytes = { tarBytes: 0, indexBytes: 0, treeBytes: 0, compressedBytes: 0, documentBytes: 0 };
const noParts: Readonly<Record<StorePart, number>> = {
  ...noBytes,
  cacheMountBytes: 0,
  downloadBytes: 0,
  gitBytes: 0,
  fileDigestBytes: 0,
  databaseBytes: 0,
  unfinishedBytes: 0,
  trashBytes: 0,
  quarantineBytes: 0,
  reserveBytes: 0,
  remainingBytes: 0,
};
const objectParts = Object.keys(noBytes) as (keyof ObjectBytes)[];

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** @returns all that was added */
function add(to: Mutable<ObjectBytes>, what: ObjectBytes): number {
  let sum = 0;
  for (const part of objectParts) {
    to[part] += what[part];
    sum += what[part];
  }
  return sum;
}

interface Measured {
  /** By digest or diffID. */
  readonly objects: ReadonlyMap<string, ObjectBytes>;
  readonly parts: Readonly<Record<StorePart, number>>;
}

function measure({ dir }: Store): Measured {
  const count = new DiskCount();
  const objects = new Map<string, Mutable<ObjectBytes>>();
  const parts: Record<StorePart, number> = { ...noParts };
  const note = (name: string, part: keyof ObjectBytes, bytes: number): void => {
    const object = objects.get(name) ?? { ...noBytes };
    objects.set(name, object);
    object[part] += bytes;
    parts[part] += bytes;
  };
  /** A directory of objects. */
  const all = (parent: string, each: (path: string, digest: string) => void): void => {
    for (const name of namesIn(parent)) each(join(parent, name), `sha256:${name}`);
    parts.remainingBytes += count.ownBytes(parent);
  };
  all(paths.layersDir(dir), (path, diffId) => {
    for (const name of namesIn(path)) {
      note(diffId, name === 'index.erofs' ? 'indexBytes' : 'tarBytes', count.bytes(join(path, name)));
    }
    note(diffId, 'tarBytes', count.ownBytes(path));
  });
  all(paths.treesDir(dir), (path, diffId) => note(diffId, 'treeBytes', count.bytes(path)));
  all(paths.blobsDir(dir), (path, digest) => {
    note(digest, isDocument(path) ? 'documentBytes' : 'compressedBytes', count.bytes(path));
  });

  const objectDirs = new Set([paths.layersDir(dir), paths.treesDir(dir), paths.blobsDir(dir)]);
  const rest = (path: string, place: string): void => {
    if (objectDirs.has(path)) return;
    if (!opened.has(place)) {
      const part = place.startsWith('meta.db') ? 'databaseBytes' : (places[place] ?? 'remainingBytes');
      parts[part] += count.bytes(path);
      return;
    }
    for (const name of namesIn(path)) rest(join(path, name), join(place, name));
    parts.remainingBytes += count.ownBytes(path);
  };
  rest(dir, '');
  return { objects, parts };
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return []; // taken away at this moment
    throw error;
  }
}

/** All our documents are JSON objects; no compressed layer begins like one. */
function isDocument(path: string): boolean {
  try {
    const fd = openSync(path, 'r');
    try {
      const first = Buffer.alloc(1);
      return readSync(fd, first, 0, 1, 0) === 1 && first[0] === 0x7b;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EISDIR')) return false;
    throw error;
  }
}

interface UsedImage {
  readonly digest: Digest;
  readonly references: readonly string[];
  readonly layers: ReadonlySet<DiffId>;
  /** Its layers and blobs. */
  readonly names: readonly string[];
}

/** Whatever has a tag, and images without one. Those in an index that has a tag are part of the index. */
function imagesOf(store: Store): UsedImage[] {
  const { database } = store;
  const references = new Map<Digest, string[]>();
  for (const { digest, reference } of database.tags()) {
    references.set(digest, [...(references.get(digest) ?? []), reference]);
  }
  const rows = database.images().map(({ digest }) => digest);
  const isImage = new Set(rows);
  const inIndex = new Set(
    [...references.keys()].flatMap((digest) => (isImage.has(digest) ? [] : (indexedImages(store, digest) ?? []))),
  );
  const others = rows.filter((digest) => !references.has(digest) && !inIndex.has(digest));
  return [...references.keys(), ...others].map((digest) => {
    const { layers, blobs }: Reached = { layers: new Set(), blobs: new Set() };
    reachFrom(store, digest, { layers, blobs });
    return {
      digest,
      references: references.get(digest) ?? [],
      layers,
      names: [...new Set<string>([...layers, ...blobs])],
    };
  });
}
