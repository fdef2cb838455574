// Where a build's result goes, as the request says it.
import type { Compression, MediaTypes } from '#store';

export type AnnotationPlace = 'manifest' | 'index' | 'manifest-descriptor' | 'index-descriptor';

export interface Annotation {
  readonly place: AnnotationPlace;
  readonly key: string;
  readonly value: string;
}

/** How an image is written. */
export interface ImageForm {
  readonly types: MediaTypes;
  /** Null: as is usual for the output. */
  readonly compression: Compression | null;
  readonly level: number | undefined;
  /** Layers of the base are compressed so too, whatever compressed form of them there is. */
  readonly forceCompression: boolean;
  /** No file of the layers that this build makes is younger than SOURCE_DATE_EPOCH. */
  readonly rewriteTimestamp: boolean;
  readonly annotations: readonly Annotation[];
  /** What is attested is an OCI artifact with the image as its subject; else it looks like an image. */
  readonly artifact: boolean;
}

export interface ImageOutput {
  readonly kind: 'image';
  readonly form: ImageForm;
  readonly names: readonly string[];
  /** Null: it is not sent to the registries of its names. */
  readonly push: { readonly byDigest: boolean; readonly plainHttp: true | undefined } | null;
  /** Its names are given here, too. */
  readonly named: boolean;
}

/** `dest` null is standard output. */
export type Output =
  | ImageOutput
  | {
      readonly kind: 'archive';
      readonly form: ImageForm;
      readonly names: readonly string[];
      readonly dest: string | null;
      /** One that `docker load` of any age reads. */
      readonly docker: boolean;
    }
  | { readonly kind: 'layout'; readonly form: ImageForm; readonly names: readonly string[]; readonly dest: string }
  /** The files of the image; `split`: in a directory named after its platform; `prefix`: of the files that attest something. */
  | { readonly kind: 'files'; readonly dest: string; readonly split: boolean; readonly prefix: string }
  | { readonly kind: 'tar'; readonly dest: string | null; readonly split: boolean; readonly prefix: string }
  | { readonly kind: 'none' };

/** What is attested about the images. */
export interface Attested {
  readonly provenance: Provenance | null;
  readonly sbom: Sbom | null;
}

export interface Provenance {
  readonly mode: 'min' | 'max';
  readonly builderId: string;
  readonly reproducible: boolean;
}

export interface Sbom {
  /** An image of the scanner. */
  readonly generator: string;
  /** More of its environment: 'BUILDKIT_SCAN_' and the name of an attribute. */
  readonly parameters: ReadonlyMap<string, string>;
}
