// Cache records and their layers as an OCI artifact, in a layout or in a registry: how one store's build cache serves another.
//
// The manifest lists the layers, each once. Its config has a media type of its own:
//   {"version":1,"layers":[diffID, …],"records":[{"key":hex,"layer":index or null,"createdMs":ms}, …]}
// with `layers` in the manifest's order. Records say "a step with this key comes to this layer". A layer is verified by its
// digests before it is used; that it is the step's result, only whoever wrote the cache can know: a cache is as
// trustworthy as who may write it. A record of one's own is never replaced by one from elsewhere.
import { createHash } from 'node:crypto';
import { StoreError } from '../errors.js';
import { parseImageDocument } from '../image/document.js';
import { parseStrictJson } from '../image/strict-json.js';
import { type Descriptor, type DiffId, mediaTypes, parseDiffId } from '../words.js';

export const cacheConfigType = 'application/vnd.tsbuild.cache.config.v1+json';
const version = 1;

export interface SharedRecord {
  readonly key: string;
  /** Null: the step changed nothing. */
  readonly diffId: DiffId | null;
  readonly createdMs: number;
}

/** A record as it is found elsewhere. */
export interface FoundRecord extends SharedRecord {
  /** How its layer lies there; null without one. */
  readonly blob: Descriptor | null;
}

/** The same records give the same bytes. */
export function encodeCacheConfig(records: readonly SharedRecord[], layers: readonly DiffId[]): Buffer {
  const places = new Map(layers.map((diffId, i) => [diffId, i]));
  const sorted = [...records].sort((a, b) => (a.key < b.key ? -1 : 1));
  const shown = sorted.map(({ key, diffId, createdMs }) => ({
    key,
    layer: diffId === null ? null : places.get(diffId)!,
    createdMs,
  }));
  return Buffer.from(JSON.stringify({ version, layers, records: shown }));
}

export function encodeCacheManifest(config: Buffer, layers: readonly Descriptor[]): Buffer {
  const digest = `sha256:${createHash('sha256').update(config).digest('hex')}`;
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType: cacheConfigType,
      config: { mediaType: cacheConfigType, digest, size: config.length },
      layers,
    }),
  );
}

/** @throws StoreError CACHE_INVALID, IMAGE_*: what is there is no cache of ours */
export function parseCacheManifest(
  bytes: Buffer,
  name: string,
): { readonly config: Descriptor; readonly layers: readonly Descriptor[] } {
  const document = parseImageDocument(bytes, `the manifest of ${name}`);
  if (document.kind === 'manifest' && document.manifest.config.mediaType === cacheConfigType) return document.manifest;
  throw invalid(name, 'it is no cache that tsbuild wrote', "name what 'tsbuild build --cache-to' wrote");
}

/** By key. @throws StoreError CACHE_INVALID */
export function parseCacheConfig(
  bytes: Buffer,
  blobs: readonly Descriptor[],
  name: string,
): ReadonlyMap<string, FoundRecord> {
  const value = fieldsOf(parseStrictJson(bytes, `the records of ${name}`));
  if (value?.version !== version)
    throw invalid(name, 'its records are of a version that is not known', 'write it anew');
  const { layers, records } = value;
  if (!Array.isArray(layers) || !Array.isArray(records) || layers.length !== blobs.length) throw damaged(name);
  const diffIds = layers.map((each: unknown) => parseDiffId(String(each)));
  const found = new Map<string, FoundRecord>();
  for (const each of records) {
    const { key, layer, createdMs } = fieldsOf(each) ?? {};
    if (typeof key !== 'string' || !/^[0-9a-f]{64}$/.test(key) || !isTime(createdMs)) throw damaged(name);
    if (layer === null) found.set(key, { key, diffId: null, createdMs, blob: null });
    else if (typeof layer === 'number' && diffIds[layer] !== undefined) {
      found.set(key, { key, diffId: diffIds[layer], createdMs, blob: blobs[layer]! });
    } else throw damaged(name);
  }
  return found;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function damaged(name: string): StoreError {
  return invalid(name, 'its records are damaged', 'write it anew');
}

function invalid(name: string, problem: string, hint: string): StoreError {
  return new StoreError('CACHE_INVALID', { message: `${name}: ${problem}`, hint });
}
