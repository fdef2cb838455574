// An archive of images (an OCI layout in a tar, or what docker save writes) → the store.
import type { Readable } from 'node:stream';
import { findBlob, putBlob, readBlob } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { StoreError } from '../errors.js';
import { parseConfig, parseImageDocument } from '../image/document.js';
import { putConfig } from '../image/images.js';
import { isAttestation } from '../image/platform.js';
import { formatReference, parseReference } from '../image/reference.js';
import { parseStrictJson } from '../image/strict-json.js';
import type { Lease, StoredImage } from '../types.js';
import { type Descriptor, type Digest, type ImageConfig, mediaTypes } from '../words.js';
import { type Archive, invalid, openArchive } from './archive-members.js';
import { type BlobFolder, containerdName, namesOfEntry, parseLayoutIndex, resolveEntries } from './blob-folder.js';
import { requireLayoutVersion } from './layout-import.js';
import { type ReceiveOptions, receiveImage, receiveLayers } from './receive.js';

export interface LoadedImage {
  readonly image: StoredImage;
  /** Of the image; or of the index in which it came alone with what is attested about it, which is kept whole. */
  readonly digest: Digest;
  /** Full names that the archive gives it, to tag it with; it is not tagged yet. */
  readonly names: readonly string[];
}

/**
 * Reads every image of an archive; of images for several platforms the one for `platform`.
 *
 * @param source a path, or a stream such as standard input; plain, or compressed by gzip, zstd, xz or bzip2
 * @throws StoreError ARCHIVE_NOT_FOUND, ARCHIVE_INVALID, DECOMPRESSOR_MISSING, PLATFORM_NOT_IN_INDEX; TAR_*, IMAGE_*, BLOB_*
 */
export async function loadArchive(
  store: Store,
  lease: Lease,
  source: string | Readable,
  options: ReceiveOptions = {},
): Promise<LoadedImage[]> {
  const archive = await openArchive(
    { path: (part) => lease.path(part), maxLayerBytes: store.options.maxLayerBytes },
    source,
  );
  if (isLayoutArchive(archive)) return loadLayout(store, lease, archive, options);
  if (archive.has('manifest.json')) return loadDockerArchive(store, lease, archive, options);
  throw invalid(archive.name, 'it has neither index.json nor manifest.json');
}

export function isLayoutArchive(archive: Archive): boolean {
  return archive.has('index.json') && archive.has('oci-layout');
}

/** The layout in an archive. @throws StoreError LAYOUT_INVALID, ARCHIVE_INVALID */
export async function archiveFolder(archive: Archive): Promise<BlobFolder> {
  requireLayoutVersion(await archive.read('oci-layout'), archive.name);
  return {
    name: archive.name,
    index: parseLayoutIndex(await archive.read('index.json'), archive.name),
    readDocument: (blob) => archive.read(blobMember(blob.digest)),
    open: (blob) => archive.stream(blobMember(blob.digest)),
  };
}

async function loadLayout(
  store: Store,
  lease: Lease,
  archive: Archive,
  options: ReceiveOptions,
): Promise<LoadedImage[]> {
  const folder = await archiveFolder(archive);
  const images = folder.index.manifests.filter((entry) => !isAttestation(entry));
  if (images.length === 0) throw invalid(archive.name, 'it holds no image');
  // Entries of one name are one image for several platforms; entries without a name too, if there is nothing else to tell by.
  const groups = new Map<string, Descriptor[]>();
  for (const entry of images) {
    const key = namesOfEntry(entry)[0] ?? (entry.platform ? '' : entry.digest);
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  const loaded: LoadedImage[] = [];
  for (const entries of groups.values()) {
    const resolved = await resolveEntries(entries, options.platform, archive.name, (blob) => folder.readDocument(blob));
    const image = await receiveImage(store, lease, resolved, archive.name, (layer) => folder.open(layer), options);
    const index = await receiveIndex(store, lease, entries, image, folder);
    loaded.push({ image, digest: index ?? image.digest, names: fullNames(entries) });
  }
  return mergeNames(loaded);
}

/** Null where the image is in no index, or in one of several images. */
async function receiveIndex(
  store: Store,
  lease: Lease,
  entries: readonly Descriptor[],
  image: StoredImage,
  folder: BlobFolder,
): Promise<Digest | null> {
  const root = entries[0]!;
  if (entries.some(({ digest }) => digest !== root.digest) || root.digest === image.digest) return null;
  const bytes = await folder.readDocument(root);
  const document = parseImageDocument(bytes, root.digest, root.mediaType);
  if (document.kind === 'manifest') return null;
  const others = document.index.manifests.filter(isAttestation);
  if (others.length === 0 || document.index.manifests.length !== others.length + 1) return null;
  const keep = async (blob: Descriptor): Promise<void> => {
    if (findBlob(store, blob.digest) === null) await putBlob(store, lease, folder.open(blob), blob);
  };
  // What is attested names these very bytes: whoever sends the image on needs them.
  for (const [i, layer] of image.manifest.layers.entries()) {
    if (layer.digest !== image.layers[i]!.diffId) await keep(layer);
  }
  for (const other of others) {
    await keep(other);
    const about = parseImageDocument(await readBlob(store, other.digest), other.digest, other.mediaType);
    if (about.kind === 'index') return null;
    for (const part of [about.manifest.config, ...about.manifest.layers]) await keep(part);
  }
  await keep(root);
  return root.digest;
}

/** The digest has been parsed: it can't name another member. */
function blobMember(digest: Digest): string {
  return `blobs/sha256/${digest.slice('sha256:'.length)}`;
}

/** containerd writes the full name beside a reference that may be the tag only. */
function fullNames(entries: readonly Descriptor[]): string[] {
  const names = entries.flatMap((entry) => entry.annotations?.[containerdName] ?? namesOfEntry(entry));
  return normalNames(names.filter((name) => /[:/]/.test(name)));
}

function normalNames(names: readonly string[]): string[] {
  const full = names.flatMap((name) => {
    try {
      return [formatReference(parseReference(name))];
    } catch (error) {
      // A name that we could not store is left out; the image itself is not worse for it.
      if (error instanceof StoreError && error.code === 'REFERENCE_INVALID') return [];
      throw error;
    }
  });
  return [...new Set(full)];
}

function mergeNames(loaded: readonly LoadedImage[]): LoadedImage[] {
  const merged = new Map<Digest, LoadedImage>();
  for (const { image, digest, names } of loaded) {
    const known = merged.get(digest)?.names ?? [];
    merged.set(digest, { image, digest, names: [...new Set([...known, ...names])] });
  }
  return [...merged.values()];
}

export interface DockerEntry {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

/** @see moby, image/spec/v1.2.md "Combined Image JSON + Filesystem Changeset Format" */
async function loadDockerArchive(
  store: Store,
  lease: Lease,
  archive: Archive,
  options: ReceiveOptions,
): Promise<LoadedImage[]> {
  const entries = await readDockerManifest(archive);
  const loaded: LoadedImage[] = [];
  for (const entry of entries) {
    const configBytes = await archive.read(entry.config);
    const config = parseConfig(configBytes, `${entry.config} of ${archive.name}`);
    const members = layerMembers(archive, entry, config);
    const layers = config.rootfs.diff_ids.map((digest) => {
      return { mediaType: mediaTypes.ociLayer, digest, size: archive.size(members.get(digest)!) };
    });
    await receiveLayers(store, lease, config, layers, ({ digest }) => archive.stream(members.get(digest)!), options);
    // Such an archive has no manifest; one over the uncompressed layers stands in.
    const image = await putConfig(store, lease, configBytes);
    loaded.push({ image, digest: image.digest, names: normalNames(entry.names) });
  }
  return mergeNames(loaded);
}

/** By diffID: which member holds the layer (compressed too, where kaniko or crane wrote it). */
export function layerMembers(archive: Archive, entry: DockerEntry, config: ImageConfig): ReadonlyMap<Digest, string> {
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length === entry.layers.length) return new Map(diffIds.map((diffId, i) => [diffId, entry.layers[i]!]));
  throw new StoreError('IMAGE_LAYERS_MISMATCH', {
    message: `${archive.name} lists ${entry.layers.length} layers for an image whose config has ${diffIds.length}`,
  });
}

/** @throws StoreError ARCHIVE_INVALID */
export async function readDockerManifest({ name, read }: Archive): Promise<DockerEntry[]> {
  const value = parseStrictJson(await read('manifest.json'), `manifest.json of ${name}`);
  if (!Array.isArray(value) || value.length === 0) throw invalid(name, 'its manifest.json lists no image');
  return value.map((item: unknown) => {
    const fields = (typeof item === 'object' && item !== null ? item : {}) as Readonly<Record<string, unknown>>;
    const { Config: config, RepoTags: names, Layers: layers } = fields;
    if (typeof config !== 'string' || !isTextList(names ?? []) || !isTextList(layers ?? [])) {
      throw invalid(name, 'its manifest.json is not of the form that docker writes');
    }
    return { config, names: (names ?? []) as string[], layers: (layers ?? []) as string[] };
  });
}

function isTextList(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
