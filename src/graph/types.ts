// The build graph: immutable, plain data. Planned purely from a Buildfile, options and the configs of its bases.
import type { Platform, RunConfig } from '#store';
import type { GitRepository, Span } from '../base/index.js';

/** Index into `BuildGraph.vertices`, which are in topological order: parents before children. */
export type VertexId = number;

interface VertexCommon {
  readonly id: VertexId;
  /** As the progress shows it: '[build 2/5] RUN make'. */
  readonly name: string;
  /** The instruction, for errors. */
  readonly at: Span;
  readonly platform: Platform;
}

/** The layers of a base image; no layers for scratch. */
export interface BaseVertex extends VertexCommon {
  readonly kind: 'base';
  /** Key into the bases given to planBuild; null for scratch. */
  readonly base: string | null;
}

export type RunMount =
  | {
      readonly kind: 'bind';
      readonly from: FileSource;
      /** Absolute, in what `from` shows. */
      readonly source: string;
      readonly target: string;
      /** What the step writes is seen by it alone, and lost when it ends. */
      readonly writable: boolean;
      readonly at: Span;
    }
  | {
      readonly kind: 'cache';
      readonly id: string;
      /** What BUILDKIT_CACHE_MOUNT_NS says: caches of different namespaces have nothing in common. */
      readonly namespace: string;
      readonly sharing: 'shared' | 'private' | 'locked';
      /** Whose files a new cache begins with; null: none. */
      readonly from: FileSource | null;
      /** Absolute, the directory of `from` that is copied. */
      readonly source: string;
      readonly target: string;
      readonly readonly: boolean;
      /** Of the directory when it is new. */
      readonly mode: number | null;
      readonly uid: number | null;
      readonly gid: number | null;
      readonly at: Span;
    }
  | {
      readonly kind: 'tmpfs';
      readonly target: string;
      readonly sizeBytes: number | null;
      readonly readonly: boolean;
      readonly at: Span;
    }
  /** `target` null: only as environment variable `env`. */
  | {
      readonly kind: 'secret';
      readonly id: string;
      readonly target: string | null;
      readonly env: string | null;
      readonly required: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      readonly at: Span;
    }
  /** A socket at `target` that leads to the ssh agent of this id. */
  | {
      readonly kind: 'ssh';
      readonly id: string;
      readonly target: string;
      readonly required: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      readonly at: Span;
    };

/** What a build says of the container of all its steps; null: nothing. */
export interface StepSandbox {
  readonly hostname: string | null;
  /** Lines of /etc/hosts. Where the addresses lead is no part of a cache key, as with BuildKit. */
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[];
  readonly ulimits: readonly Ulimit[];
  readonly shmSizeBytes: number | null;
  readonly cgroupParent: string | null;
}

export interface Ulimit {
  /** 'nofile' and the like. */
  readonly name: string;
  readonly soft: number | 'unlimited';
  readonly hard: number | 'unlimited';
}

export interface RunVertex extends VertexCommon {
  readonly kind: 'run';
  readonly parent: VertexId;
  /** Final argv, the shell included. */
  readonly args: readonly string[];
  /** Body of a heredoc script with its own `#!`, to be executed as a file; args are then its arguments ([] normally). */
  readonly script: string | null;
  /** In order; later ones win. ARG values that reach the step included. */
  readonly env: readonly (readonly [name: string, value: string])[];
  /** Names in `env` whose value is an ARG's, not an ENV's. */
  readonly argNames: readonly string[];
  /** Values that reach the step but not the cache key: predefined proxy arguments. */
  readonly hiddenEnv: readonly (readonly [name: string, value: string])[];
  readonly cwd: string;
  /** As in USER: '', 'name', '1000', 'name:group'; '' is root. */
  readonly user: string;
  readonly mounts: readonly RunMount[];
  readonly network: 'default' | 'host' | 'none';
  readonly security: 'sandbox' | 'insecure';
  readonly sandbox: StepSandbox;
}

/** Where files come from: the main context or a named one (a directory), another vertex's result, a base image, or bytes in the Buildfile. */
export type FileSource =
  | { readonly kind: 'context'; readonly name: string | null }
  | { readonly kind: 'vertex'; readonly vertex: VertexId };

/** What ADD takes from elsewhere. */
export type RemoteSource =
  /** One file, named as the URL's path ends. `sha256` (hex) null: whatever comes. */
  | { readonly kind: 'file'; readonly url: string; readonly name: string; readonly sha256: string | null }
  /** The files of a commit. */
  | { readonly kind: 'git'; readonly repository: GitRepository };

export interface CopySource {
  /** Variables expanded. */
  readonly pattern: string;
  readonly at: Span;
  /** Null: `pattern` is one of paths in `from`. */
  readonly remote: RemoteSource | null;
}

export interface CopyVertex extends VertexCommon {
  readonly kind: 'copy';
  readonly instruction: 'COPY' | 'ADD';
  readonly parent: VertexId;
  readonly from: FileSource;
  readonly sources: readonly CopySource[];
  /** Heredoc files. */
  readonly inline: readonly { readonly name: string; readonly content: string }[];
  /** Absolute in the image, WORKDIR applied; a trailing '/' is kept and means a directory. */
  readonly dest: string;
  readonly chown: string | null;
  /** Octal or symbolic, expanded. */
  readonly chmod: string | null;
  readonly exclude: readonly string[];
  /** What ADD says of archives; null: nothing. */
  readonly unpack: boolean | null;
  readonly parents: boolean;
  readonly link: boolean;
  /** Time of everything it copies and makes, in seconds; null: as the sources have it, and now. */
  readonly epochSec: number | null;
}

/** WORKDIR: makes `path` (absolute) and its missing parents, owned by `user`. */
export interface MkdirVertex extends VertexCommon {
  readonly kind: 'mkdir';
  readonly parent: VertexId;
  readonly path: string;
  readonly user: string;
  /** Time of what it makes, in seconds; null: now. */
  readonly epochSec: number | null;
}

export type Vertex = BaseVertex | RunVertex | CopyVertex | MkdirVertex;

/** One line of the image's history; `vertex` null for instructions that never make a layer. */
export interface PlannedHistory {
  readonly createdBy: string;
  readonly comment: string;
  readonly vertex: VertexId | null;
}

/** A stage that the target needs; its vertices, and those of images that only it copies from, follow each other. */
export interface PlannedStage {
  /** As FROM … AS says it, lower case; null without a name. */
  readonly name: string | null;
  /** Place among all stages of the Buildfile, from 0. */
  readonly index: number;
  readonly first: VertexId;
  /** The vertex after its last one. */
  readonly end: VertexId;
  /** Whose files it has. */
  readonly result: VertexId;
  /** What its ARGs want of an SBOM scanner: to look at its files, and at the build context. */
  readonly scan: { readonly stage: boolean; readonly context: boolean };
}

export interface BuildGraph {
  readonly vertices: readonly Vertex[];
  /** In the order of their vertices. */
  readonly stages: readonly PlannedStage[];
  /** Whose layers the image has. */
  readonly result: VertexId;
  readonly platform: Platform;
  /** Final run config: base's, changed by the target stage's instructions. */
  readonly config: RunConfig;
  readonly author: string | undefined;
  /** Key of the base that the result's chain starts from, for its history; null for scratch. */
  readonly base: string | null;
  /** History of the target stage's chain from its base on, stages it is FROM included. */
  readonly history: readonly PlannedHistory[];
  /** `--build-arg`s nobody declared, and other things worth a line. */
  readonly warnings: readonly {
    readonly code: string;
    readonly message: string;
    readonly at: Span | undefined;
    readonly hint: string | undefined;
  }[];
}
