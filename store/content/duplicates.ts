// Identical files of several layers, or several in one: a report of what sharing files between layers would save.
//
// Linear in the files, and bounded in memory: sizes are counted first, from indexes alone. Only files whose size another file has
// are compared, in rounds of so many at a time: by their first bytes, then, where these agree, by all of them. The
// names of what is reported are looked up last. Names of one inode are one file; empty files take nothing.
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { displayPath, type RawPath } from '#native';
import { StoreError } from '../errors.js';
import type { NodeFacts, NodeId } from '../format/layer-source.js';
import { readLayerSource } from '../format/view.js';
import type { Layer } from '../types.js';
import type { DiffId } from '../words.js';
import type { Store } from './handle.js';
import { findLayer } from './layer.js';
import { openLease } from './lease.js';
import { layerUsers } from './usage.js';

const firstBytes = 4096;
const chunkBytes = 1 << 20;
const filesARound = 500_000;

export interface DuplicatesOptions {
  /** Smaller files are left out. */
  readonly minBytes?: number | undefined;
  /** So many groups, those that waste most, with the places of their files; the sums are about all. */
  readonly top?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DuplicatePlace {
  readonly diffId: DiffId;
  /** In the layer; bytes that are no text are escaped. */
  readonly path: string;
  /** Names (or digests) of the images that have the layer. */
  readonly images: readonly string[];
}

export interface DuplicateGroup {
  /** SHA-256 of the content; of a sparse file, of its map and what is stored. */
  readonly digest: string;
  /** What each of the files takes in its layer. */
  readonly bytes: number;
  /** All but one of them. */
  readonly wastedBytes: number;
  readonly places: readonly DuplicatePlace[];
}

export interface Duplicates {
  readonly layers: number;
  readonly files: number;
  /** Files that are the second or a further one of their kind, and their bytes. */
  readonly duplicateFiles: number;
  readonly wastedBytes: number;
  /** Most wasted first. */
  readonly groups: readonly DuplicateGroup[];
}

/** Looks through all layers of the store. @throws StoreError LAYER_DAMAGED, INDEX_DAMAGED, TAR_* */
export async function findDuplicates(store: Store, options: DuplicatesOptions = {}): Promise<Duplicates> {
  const lease = store.readOnly ? null : await openLease(store, 'search for duplicates');
  try {
    const layers = store.database.layers().flatMap(({ diffId }) => findLayer(store, diffId) ?? []);
    return await search(layers, layerUsers(store), options);
  } finally {
    await lease?.release();
  }
}

async function search(
  layers: readonly Layer[],
  users: ReadonlyMap<DiffId, readonly string[]>,
  { minBytes = 1, top = 100, signal }: DuplicatesOptions,
): Promise<Duplicates> {
  const counts = new Map<number, number>();
  let files = 0;
  for (const layer of layers) {
    await pause(signal);
    for (const { facts } of filesOf(layer)) {
      files++;
      const bytes = storedBytes(facts);
      if (bytes >= Math.max(1, minBytes)) counts.set(bytes, (counts.get(bytes) ?? 0) + 1);
    }
  }
  const best = new Best(top);
  for (const sizes of rounds(counts)) {
    const candidates: Candidate[] = [];
    for (const [at, layer] of layers.entries()) {
      await pause(signal);
      for (const { id, facts } of filesOf(layer)) {
        if (sizes.has(storedBytes(facts)))
          candidates.push({ layer: at, id, bytes: storedBytes(facts), ...rangesOf(facts) });
      }
    }
    const alike = await groupBy(candidates, layers, firstBytes, signal);
    const large = alike.flatMap((group) => (group.files[0]!.bytes > firstBytes ? group.files : []));
    best.add(alike.filter((group) => group.files[0]!.bytes <= firstBytes));
    best.add(await groupBy(large, layers, Number.POSITIVE_INFINITY, signal));
  }
  const groups = namePlaces(best.groups, layers, users);
  return { layers: layers.length, files, duplicateFiles: best.duplicateFiles, wastedBytes: best.wastedBytes, groups };
}

/** A file that may have a twin. Few and small fields: there may be very many. */
interface Candidate {
  readonly layer: number;
  readonly id: NodeId;
  readonly bytes: number;
  readonly offset: number;
  readonly pieces: NodeFacts['pieces'];
}

interface Group {
  readonly digest: string;
  readonly files: readonly Candidate[];
}

function rangesOf({ dataOffset, pieces }: NodeFacts): Pick<Candidate, 'offset' | 'pieces'> {
  return { offset: dataOffset, pieces };
}

function storedBytes({ size, pieces }: NodeFacts): number {
  return pieces === null ? size : pieces.reduce((sum, [, length]) => sum + length, 0);
}

/** Each inode once, by one of its names. */
function* filesOf(
  layer: Layer,
): Generator<{ readonly id: NodeId; readonly facts: NodeFacts; readonly path: string[] }> {
  const source = readLayerSource(layer);
  const seen = new Set<NodeId>();
  const left: { readonly id: NodeId; readonly path: string[] }[] = [{ id: source.root, path: [] }];
  for (let dir = left.pop(); dir !== undefined; dir = left.pop()) {
    for (const { name, id } of source.children(dir.id)) {
      const path = [...dir.path, name];
      if (source.kind(id) === 'dir') left.push({ id, path });
      else if (!seen.has(id)) {
        seen.add(id);
        const facts = source.facts(id);
        if (facts.type === 'file') yield { id, facts, path };
      }
    }
  }
}

/** The sizes that several files have, so many at a time that the files of a round fit into memory. */
function* rounds(counts: ReadonlyMap<number, number>): Generator<ReadonlySet<number>> {
  let sizes = new Set<number>();
  let files = 0;
  for (const [bytes, count] of counts) {
    if (count < 2) continue;
    if (files > 0 && files + count > filesARound) {
      yield sizes;
      sizes = new Set();
      files = 0;
    }
    sizes.add(bytes);
    files += count;
  }
  if (files > 0) yield sizes;
}

/** Those that agree in their size and in their bytes up to `limit`, where there are several. */
async function groupBy(
  candidates: readonly Candidate[],
  layers: readonly Layer[],
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Group[]> {
  const groups = new Map<string, Candidate[]>();
  const reader = new Reader(layers);
  try {
    for (const [i, candidate] of candidates.entries()) {
      if (i % 1000 === 0) await pause(signal);
      const key = `${candidate.bytes} ${reader.digest(candidate, limit)}`;
      const known = groups.get(key);
      if (known === undefined) groups.set(key, [candidate]);
      else known.push(candidate);
    }
  } finally {
    reader.close();
  }
  return [...groups].flatMap(([key, files]) =>
    files.length < 2 ? [] : [{ digest: `sha256:${key.split(' ')[1]}`, files }],
  );
}

/** Reads tars of layers, one after the other. */
class Reader {
  readonly #layers: readonly Layer[];
  readonly #buffer = Buffer.allocUnsafe(chunkBytes);
  #layer = -1;
  #fd: number | null = null;

  constructor(layers: readonly Layer[]) {
    this.#layers = layers;
  }

  digest({ layer, offset, bytes, pieces }: Candidate, limit: number): string {
    if (layer !== this.#layer) {
      this.close();
      this.#fd = openSync(this.#layers[layer]!.tarPath, 'r');
      this.#layer = layer;
    }
    const hash = createHash('sha256');
    if (pieces !== null) hash.update(JSON.stringify(pieces));
    this.#read(hash, offset, Math.min(bytes, limit));
    return hash.digest('hex');
  }

  #read(hash: Hash, offset: number, length: number): void {
    for (let done = 0; done < length; ) {
      const count = readSync(this.#fd!, this.#buffer, 0, Math.min(chunkBytes, length - done), offset + done);
      if (count === 0) {
        const { tarPath } = this.#layers[this.#layer]!;
        throw new StoreError('LAYER_DAMAGED', {
          message: `${tarPath} ends within a file`,
          hint: 'tsbuild fsck --repair',
        });
      }
      hash.update(this.#buffer.subarray(0, count));
      done += count;
    }
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
    this.#layer = -1;
  }
}

/** The groups that waste most; of the others, the sums. */
class Best {
  readonly #most: number;
  groups: readonly Group[] = [];
  duplicateFiles = 0;
  wastedBytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(groups: readonly Group[]): void {
    for (const { files } of groups) this.duplicateFiles += files.length - 1;
    for (const group of groups) this.wastedBytes += wasted(group);
    const sorted = [...this.groups, ...groups].sort((a, b) => wasted(b) - wasted(a) || (a.digest < b.digest ? -1 : 1));
    this.groups = sorted.slice(0, this.#most);
  }
}

function wasted({ files }: Group): number {
  return (files.length - 1) * files[0]!.bytes;
}

function namePlaces(
  groups: readonly Group[],
  layers: readonly Layer[],
  users: ReadonlyMap<DiffId, readonly string[]>,
): DuplicateGroup[] {
  const wanted = new Map<number, Map<NodeId, DuplicatePlace[]>>();
  const named = groups.map((group) => {
    const places: DuplicatePlace[] = [];
    for (const { layer, id } of group.files) {
      const ofLayer = wanted.get(layer) ?? new Map<NodeId, DuplicatePlace[]>();
      wanted.set(layer, ofLayer.set(id, places));
    }
    return { digest: group.digest, bytes: group.files[0]!.bytes, wastedBytes: wasted(group), places };
  });
  for (const [at, ofLayer] of wanted) {
    const { diffId } = layers[at]!;
    for (const { id, path } of filesOf(layers[at]!)) {
      ofLayer.get(id)?.push({ diffId, path: displayPath(path.join('/') as RawPath), images: users.get(diffId) ?? [] });
    }
  }
  return named;
}

/** Lets others of this process have a turn. */
async function pause(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal?.throwIfAborted();
}
