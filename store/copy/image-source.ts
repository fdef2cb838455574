// What images are copied from and to. A transport says how bytes are read or written, and nothing about images: that is
// the plan's business (copy-plan.ts). An image goes as its documents and blobs under their digests, so that nothing is
// unpacked on the way from one place to another that keeps the same bytes.
import type { CompressionChoice } from '../transport/compress.js';
import type { OnProgress } from '../transport/progress.js';
import type { Descriptor, DiffId, Manifest } from '../words.js';

/** A manifest or an index with its exact bytes. */
export interface Document {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** What an image says of itself. */
export interface DocumentSource {
  /** For messages, as the user wrote it. */
  readonly name: string;
  /** The document that the image is found by. */
  root(): Promise<Document>;
  /** A manifest, index or config. Whoever gets it checks it against the descriptor. */
  readDocument(wanted: Descriptor): Promise<Buffer>;
}

export interface ImageSource extends DocumentSource {
  /** Bytes of a blob from `start` on. Whoever writes them checks them, or the receiver does. */
  openBlob(blob: Descriptor, start?: number): AsyncIterable<Uint8Array>;
  /** Repositories of a registry that have the blobs: from there they are mounted, and move nowhere. */
  repositoriesAt(registry: string): readonly string[];
  /** True where the manifest was made up for the copy: it has no digest that anybody knows. */
  readonly isMadeUp?: boolean;
  /** Where a layer is here, but not in the compressed form that its manifest names: the image in a form that is here. */
  complete?(plan: CopyPlan): Promise<Converted>;
  /** A layer compressed otherwise, where that is kept for the next time; null where the copy has to do it. */
  recompress?(layer: Descriptor, diffId: DiffId, choice: CompressionChoice): Promise<MadeBlob | null>;
  close(): Promise<void>;
}

/** A blob that was made for the copy. */
export interface MadeBlob {
  readonly descriptor: Descriptor;
  readonly path: string;
}

/** A manifest of the plan: an image, or what is attested about one. */
export interface PlannedManifest extends Document {
  readonly manifest: Manifest;
}

/** Everything that is copied, each part once. */
export interface CopyPlan {
  readonly root: Document;
  /** The documents that the root names, and those that they name; parts before wholes. */
  readonly documents: readonly Document[];
  /** The manifests among root and documents, in the order of the index. */
  readonly manifests: readonly PlannedManifest[];
  /** Configs, layers and whatever else the manifests name. */
  readonly blobs: readonly Descriptor[];
}

/** The same image in another form. */
export interface Converted {
  readonly plan: CopyPlan;
  /** Has what the new plan names. */
  readonly source: ImageSource;
}

export interface WriteOptions {
  readonly onProgress?: OnProgress | undefined;
  /** Aborted, the destination is as it was, but for whole blobs. */
  readonly signal?: AbortSignal | undefined;
}

export interface ImageDestination {
  /** For messages, as the user wrote it. */
  readonly name: string;
  /** False where one image for one platform is all that fits. */
  readonly holdsIndexes: boolean;
  /** Where layers that no registry has compressed yet are to arrive compressed. */
  readonly wantsCompressed: boolean;
  /** Writes the parts that are not there, and last of all what makes the image visible. */
  write(plan: CopyPlan, source: ImageSource, options: WriteOptions): Promise<void>;
}

/** A place for unfinished files: a lease of a store, or a directory of the copy's own. */
export interface Scratch {
  /** A fresh path. */
  path(name: string): string;
  /** See StoreOptions. */
  readonly maxLayerBytes?: number | undefined;
}
