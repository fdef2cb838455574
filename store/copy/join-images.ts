// Several images as one: an index made of theirs, to be copied like any other. Nothing is fetched for it but documents.
import { StoreError } from '../errors.js';
import { parseImageDocument } from '../image/document.js';
import { descriptorOf } from '../image/images.js';
import { canonicalJson } from '../image/strict-json.js';
import { type Descriptor, type Digest, mediaTypes, type Platform } from '../words.js';
import { planCopy } from './copy-plan.js';
import type { CopyPlan, Document, ImageSource } from './image-source.js';
import { isImage, readPlannedConfig } from './planned-image.js';

export interface JoinedPart {
  /** Of an image, or of an index, of which every entry is taken. */
  readonly source: ImageSource;
  readonly platforms?: readonly Platform[] | undefined;
  /** What the index says of the part's images. */
  readonly describe?: ((entry: Descriptor) => Descriptor) | undefined;
}

/** Entries that occur twice are listed once. @throws StoreError of the sources */
export async function joinImages(
  name: string,
  parts: readonly JoinedPart[],
  annotations: Readonly<Record<string, string>> = {},
): Promise<ImageSource> {
  const documents = new Map<Digest, Document>();
  const owners = new Map<Digest, ImageSource>();
  const entries: Descriptor[] = [];
  for (const { source, platforms, describe = (entry: Descriptor) => entry } of parts) {
    const whole = await planCopy(source, platforms ?? null);
    const { plan, source: owner } = (await source.complete?.(whole)) ?? { plan: whole, source };
    for (const document of [...plan.documents, plan.root]) documents.set(document.descriptor.digest, document);
    for (const { digest } of plan.blobs) if (!owners.has(digest)) owners.set(digest, owner);
    for (const entry of await entriesOf(plan, owner)) {
      if (!entries.some(({ digest }) => digest === entry.digest)) entries.push(describe(entry));
    }
  }
  const mediaType = mediaTypes.ociIndex;
  const index = {
    schemaVersion: 2,
    mediaType,
    manifests: entries,
    ...(Object.keys(annotations).length > 0 && { annotations }),
  };
  const bytes = canonicalJson(index);
  const root = { descriptor: descriptorOf(bytes, mediaType), bytes };
  const ownerOf = (digest: Digest): ImageSource => {
    const owner = owners.get(digest);
    if (owner !== undefined) return owner;
    throw new StoreError('BLOB_MISSING', { message: `none of the images of ${name} has ${digest}` });
  };
  return {
    name,
    root: async () => root,
    readDocument: async (wanted) => documents.get(wanted.digest)?.bytes ?? ownerOf(wanted.digest).readDocument(wanted),
    openBlob: (blob, start) => ownerOf(blob.digest).openBlob(blob, start),
    repositoriesAt: (registry) => [...new Set(parts.flatMap(({ source }) => source.repositoriesAt(registry)))],
    recompress: async (layer, diffId, choice) =>
      (await ownerOf(layer.digest).recompress?.(layer, diffId, choice)) ?? null,
    close: async () => {},
  };
}

/** How an index lists what a plan is of. */
async function entriesOf({ root, manifests }: CopyPlan, source: ImageSource): Promise<readonly Descriptor[]> {
  const document = parseImageDocument(root.bytes, source.name, root.descriptor.mediaType);
  if (document.kind === 'index') return document.index.manifests;
  const [planned] = manifests;
  const { digest, size, mediaType } = root.descriptor;
  if (planned === undefined || !isImage(planned.manifest)) return [{ mediaType, digest, size }];
  const { os, architecture, variant, ...config } = (await readPlannedConfig(source, planned)).config;
  const platform = {
    architecture,
    os,
    ...(variant && { variant }),
    ...(config['os.version'] && { 'os.version': config['os.version'] }),
    ...(config['os.features'] && { 'os.features': config['os.features'] }),
  };
  return [{ mediaType, digest, size, platform }];
}
