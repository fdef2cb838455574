// The words of the OCI specifications, as this project uses them.
import { StoreError } from './errors.js';

/** Digest of a stored blob, 'sha256:' and 64 lower-case hex digits. @see OCI image-spec v1.1, descriptor.md "Digests" */
export type Digest = `sha256:${string}`;

declare const diffIdBrand: unique symbol;
/** Digest of a layer's uncompressed tar. Never mixed with the digest of a compressed blob. @see OCI image-spec v1.1, config.md "Layer DiffID" */
export type DiffId = Digest & { readonly [diffIdBrand]: true };

/** The kind of machine an image is for, normalised ('amd64', 'arm64' without variant v8, 'arm' with v7, …). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly urls?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform & { readonly 'os.version'?: string; readonly 'os.features'?: readonly string[] };
  readonly artifactType?: string;
  /** The bytes themselves, in base64. */
  readonly data?: string;
}

/** @see OCI image-spec v1.1, manifest.md */
export interface Manifest {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** @see OCI image-spec v1.1, image-index.md */
export interface ImageIndex {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Healthcheck {
  readonly Test?: readonly string[];
  /** Durations in nanoseconds. */
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

/** The `config` object of an image config, with Docker's additions. */
export interface RunConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Volumes?: Readonly<Record<string, Record<string, never>>>;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly ArgsEscaped?: boolean;
  readonly Healthcheck?: Healthcheck;
  readonly OnBuild?: readonly string[];
  readonly Shell?: readonly string[];
}

export interface HistoryEntry {
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** @see OCI image-spec v1.1, config.md */
export interface ImageConfig {
  readonly created?: string;
  readonly author?: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly os: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
  readonly config?: RunConfig;
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly DiffId[] };
  readonly history?: readonly HistoryEntry[];
}

export const mediaTypes = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** @throws StoreError DIGEST_INVALID: anything but 'sha256:' and 64 lower-case hex digits, before it can become a path */
export function parseDigest(text: string): Digest {
  if (!digestPattern.test(text)) {
    throw new StoreError('DIGEST_INVALID', {
      message: `not a digest: ${JSON.stringify(text.slice(0, 100))}`,
      hint: "a digest is 'sha256:' and 64 lower-case hexadecimal digits",
    });
  }
  return text as Digest;
}

/** @throws StoreError DIGEST_INVALID */
export function parseDiffId(text: string): DiffId {
  return parseDigest(text) as DiffId;
}
