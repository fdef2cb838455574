// From the root of an image to everything that is copied. Manifests and indexes are read, nothing else: what a config or a
// layer holds is no business of a copy, and artifacts that are no container images are copied like these.
import { StoreError } from '../errors.js';
import { parseImageDocument } from '../image/document.js';
import { descriptorOf } from '../image/images.js';
import { isAttestation, platformRank } from '../image/platform.js';
import { formatPlatform } from '../image/platform-names.js';
import { requireBytes, resolveImage } from '../image/resolve.js';
import { canonicalJson, maxDocumentBytes } from '../image/strict-json.js';
import { inParallel } from '../transport/progress.js';
import { type Descriptor, type Digest, type ImageIndex, mediaTypes, type Platform } from '../words.js';
import type { CopyPlan, Document, ImageSource, PlannedManifest } from './image-source.js';

const maxDepth = 4;
/** An index may list 1000 images, and may be in another one: what counts is how much is read. */
const maxDocuments = 2000;
const documentsAtOnce = 8;

/**
 * @param platforms null: all of it, byte for byte. One platform: its image alone. Several: a new index of these images and
 *   of what is attested about them
 * @throws StoreError IMAGE_INDEX_TOO_DEEP, PLATFORM_NOT_IN_INDEX, BLOB_DIGEST_MISMATCH, BLOB_SIZE_MISMATCH; IMAGE_*
 */
export async function planCopy(source: ImageSource, platforms: readonly Platform[] | null): Promise<CopyPlan> {
  const root = await source.root();
  const walk = new Walk(source, root);
  if (platforms === null) return walk.planFor(root);
  const entries: Descriptor[] = [];
  for (const platform of platforms) {
    const entry = await walk.choose(root, platform);
    if (!entries.some(({ digest }) => digest === entry.digest)) entries.push(entry);
  }
  const only = entries.length === 1 ? entries[0] : undefined;
  return walk.planFor(only === undefined ? await walk.indexOf(root, entries) : await walk.read(only));
}

class Walk {
  readonly #source: ImageSource;
  readonly #known = new Map<Digest, Document>();

  constructor(source: ImageSource, root: Document) {
    this.#source = source;
    this.#known.set(root.descriptor.digest, root);
  }

  async planFor(root: Document): Promise<CopyPlan> {
    const documents = new Map<Digest, Document>();
    const manifests = new Map<Digest, PlannedManifest>();
    const blobs = new Map<Digest, Descriptor>();
    const visit = async (document: Document, depth: number): Promise<void> => {
      if (depth > maxDepth) throw this.#tooDeep(`is an index nested more than ${maxDepth} deep`);
      const parsed = this.#parse(document);
      if (parsed.kind === 'manifest') {
        const { manifest } = parsed;
        manifests.set(document.descriptor.digest, { ...document, manifest });
        for (const blob of [manifest.config, ...manifest.layers]) blobs.set(blob.digest, blob);
        return;
      }
      const entries = parsed.index.manifests;
      const nested = entries.filter(({ mediaType }) => documentTypes.has(mediaType));
      for (const blob of entries) if (!documentTypes.has(blob.mediaType)) blobs.set(blob.digest, blob);
      await inParallel(nested, documentsAtOnce, async (entry) => void (await this.read(entry)));
      for (const entry of nested) {
        if (documents.has(entry.digest)) continue;
        const child = await this.read(entry);
        await visit(child, depth + 1);
        documents.set(entry.digest, child);
      }
    };
    await visit(root, 0);
    return { root, documents: [...documents.values()], manifests: [...manifests.values()], blobs: [...blobs.values()] };
  }

  /** A manifest or an index that an entry names. */
  async read(entry: Descriptor): Promise<Document> {
    const known = this.#known.get(entry.digest);
    if (known !== undefined) return known;
    if (this.#known.size >= maxDocuments) throw this.#tooDeep(`refers to more than ${maxDocuments} documents`);
    const what = `the manifest ${entry.digest} of ${this.#source.name}`;
    if (entry.size > maxDocumentBytes) {
      throw new StoreError('IMAGE_DOCUMENT_INVALID', { message: `${what} is larger than ${maxDocumentBytes} bytes` });
    }
    const bytes = await this.#source.readDocument(entry);
    requireBytes(bytes, entry, what);
    const document = { descriptor: entry, bytes };
    this.#known.set(entry.digest, document);
    return document;
  }

  /** The entry for a platform, as an index would list it. */
  async choose(root: Document, platform: Platform): Promise<Descriptor> {
    const image = await resolveImage(root.descriptor, platform, this.#source.name, async (wanted) => {
      return documentTypes.has(wanted.mediaType) || wanted.digest === root.descriptor.digest
        ? (await this.read(wanted)).bytes
        : this.#source.readDocument(wanted);
    });
    if (platformRank(platform, image.config) === 0) {
      throw new StoreError('PLATFORM_NOT_IN_INDEX', {
        message: `${this.#source.name} is ${formatPlatform(image.config)}, not ${formatPlatform(platform)}`,
        hint: 'it is one image for one platform: leave --platform out to have it',
      });
    }
    const { os, architecture, variant } = image.config;
    const { mediaType = mediaTypes.ociManifest } = image.manifest;
    const made = {
      ...descriptorOf(image.manifestBytes, mediaType),
      platform: { architecture, os, ...(variant && { variant }) },
    };
    return this.#listed(root).find(({ digest }) => digest === image.digest) ?? made;
  }

  async indexOf(root: Document, images: readonly Descriptor[]): Promise<Document> {
    const chosen = new Set<string>(images.map(({ digest }) => digest));
    const about = this.#listed(root).filter(
      (entry) => isAttestation(entry) && chosen.has(entry.annotations?.['vnd.docker.reference.digest'] ?? ''),
    );
    const { mediaType = mediaTypes.ociIndex, annotations } = this.#indexAt(root) ?? {};
    const index = {
      schemaVersion: 2,
      mediaType,
      manifests: [...images, ...about],
      ...(annotations && { annotations }),
    };
    const bytes = canonicalJson(index);
    const document = { descriptor: descriptorOf(bytes, mediaType), bytes };
    this.#known.set(document.descriptor.digest, document);
    return document;
  }

  #listed(root: Document): readonly Descriptor[] {
    return this.#indexAt(root)?.manifests ?? [];
  }

  #indexAt(root: Document): ImageIndex | null {
    const parsed = this.#parse(root);
    return parsed.kind === 'index' ? parsed.index : null;
  }

  #parse({ bytes, descriptor }: Document): ReturnType<typeof parseImageDocument> {
    return parseImageDocument(bytes, `the manifest ${descriptor.digest} of ${this.#source.name}`, descriptor.mediaType);
  }

  #tooDeep(problem: string): StoreError {
    return new StoreError('IMAGE_INDEX_TOO_DEEP', { message: `${this.#source.name} ${problem}` });
  }
}

/** Of documents that name other things. An index may list blobs too, as caches do. */
const documentTypes: ReadonlySet<string> = new Set([
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerIndex,
]);
