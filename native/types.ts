// What crosses the native boundary. TypeScript parses and decides; C executes these batches.
import type { Assembly } from './assembly.js';
import type { RawPath } from './raw-path.js';

export interface Xattr {
  /** Full name such as 'security.capability', one character a byte as in a raw path. */
  readonly name: string;
  readonly value: Buffer;
}

export type FileType = 'file' | 'dir' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket';

/** One file as lstat(2) and llistxattr(2) report it. */
export interface FileStat {
  /** Relative to the walked directory, which is '' itself unless it is called otherwise. */
  readonly path: RawPath;
  readonly type: FileType;
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
  readonly dev: number;
  readonly ino: number;
  readonly nlink: number;
  /** Device number of a char or block device, else 0. */
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Target of a symlink, else ''. */
  readonly linkTarget: RawPath;
  readonly xattrs: readonly Xattr[];
}

export interface WalkOptions {
  /** Read extended attributes too. */
  readonly xattrs: boolean;
  /** Path that the directory has in the result, where that is not ''. */
  readonly called?: RawPath;
}

/** Where the bytes of one tar member come from. `path` is resolved beneath `root`; no symlink is followed at its end. */
export type ContentRef =
  | { readonly bytes: Uint8Array }
  | {
      readonly root: string;
      readonly path: RawPath;
      readonly offset: number;
      /**
       * Set where the content is sparse: only these [offset, length] pieces of it are stored, one after the other from
       * `offset` on; everything between them and after them is zero.
       */
      readonly pieces?: readonly (readonly [number, number])[];
    };

export interface AssembleRequest {
  readonly parts: Assembly;
  /** File to create (it must not exist), or null to compute digests only. Runs of zero bytes become holes in it. */
  readonly output: string | null;
  /** Also return the first bytes of every file part that starts with the ELF magic or '#!'. */
  readonly heads: boolean;
  /** Also return the SHA-256 of every file part's content. */
  readonly fileDigests: boolean;
}

export interface AssembleResult {
  /** Bytes of the assembled tar. */
  readonly size: number;
  /** SHA-256 of those bytes, lower-case hex. */
  readonly sha256: string;
  /** By number of the part: the first bytes (up to 4096) of ELF files and scripts. Empty unless asked for. */
  readonly heads: ReadonlyMap<number, Buffer>;
  /** By number of the part: lower-case hex SHA-256; '' for all but file parts. Empty unless asked for. */
  readonly fileDigests: readonly string[];
}

/** One operation of `applyTree`, executed in order beneath the target directory. */
export type ApplyOp =
  | { readonly op: 'dir' | 'fifo'; readonly path: RawPath; readonly meta: ApplyMeta }
  | {
      readonly op: 'file';
      readonly path: RawPath;
      readonly meta: ApplyMeta;
      readonly size: number;
      readonly content: ContentRef;
    }
  | { readonly op: 'symlink'; readonly path: RawPath; readonly meta: ApplyMeta; readonly target: RawPath }
  | { readonly op: 'link'; readonly path: RawPath; readonly target: RawPath }
  | {
      readonly op: 'device';
      readonly path: RawPath;
      readonly meta: ApplyMeta;
      readonly block: boolean;
      readonly major: number;
      readonly minor: number;
    }
  /** An overlay whiteout: character device 0:0. */
  | { readonly op: 'whiteout'; readonly path: RawPath };

export interface ApplyMeta {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly xattrs: readonly Xattr[];
}

/** A layer as the launcher mounts it. */
export type LayerMount =
  | { readonly kind: 'index'; readonly index: string; readonly tar: string }
  /** `ownerIsRoot`: whoever owns the directory is shown as root, as it is for files that are copied from there. */
  | { readonly kind: 'tree'; readonly dir: string; readonly ownerIsRoot?: true };

/** A file or directory of the host (or bytes) that a step sees at `target`. Mount points it needs never stay in the layer. */
export type StepMount =
  | {
      readonly kind: 'bind';
      readonly root: string;
      readonly path: RawPath;
      readonly target: string;
      readonly readonly: boolean;
      /** As of a layer. */
      readonly ownerIsRoot?: true;
    }
  /** Part of a stack of layers; `path` is resolved inside it. */
  | { readonly kind: 'stack'; readonly stack: number; readonly path: RawPath; readonly target: string }
  /** A listening socket of the host, which gets this owner and mode. */
  | {
      readonly kind: 'socket';
      readonly path: string;
      readonly target: string;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | { readonly kind: 'tmpfs'; readonly target: string; readonly sizeBytes?: number; readonly readonly?: boolean }
  /** A tmpfs-backed file; never on disk. */
  | {
      readonly kind: 'bytes';
      readonly bytes: Uint8Array;
      readonly target: string;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    };

/** Layers that are mounted beside the step's root, for its mounts to show parts of. */
export interface StepStack {
  /** Base first, as those of the root. */
  readonly layers: readonly LayerMount[];
  /** Paths that it doesn't show, each the topmost hidden one; their directories exist. */
  readonly hidden: readonly RawPath[];
  /** Existing empty directory that takes what the step writes; null: it is read-only. */
  readonly scratchDir: string | null;
}

/** A resource limit as setrlimit(2) takes it. */
export interface StepLimit {
  /** 'nofile' and the like. */
  readonly name: string;
  readonly soft: number | 'unlimited';
  readonly hard: number | 'unlimited';
}

export interface StepSpec {
  /** Base first, at most 498: OverlayFS stacks 500 directories, two are kept for mount points that no layer has. */
  readonly layers: readonly LayerMount[];
  /** Existing empty directory on the store's filesystem; `upper` and `work` are created in it. */
  readonly scratchDir: string;
  readonly args: readonly string[];
  /** 'NAME=value' each. */
  readonly env: readonly string[];
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly hostname: string;
  readonly network: 'host' | 'none';
  /** What 'stack' mounts show, by number. */
  readonly stacks: readonly StepStack[];
  readonly mounts: readonly StepMount[];
  /** In place of the limits that every step has. */
  readonly limits: readonly StepLimit[];
  /** False: every capability of its user namespace, no system call filter, nothing of /proc masked. */
  readonly confined: boolean;
  /** Cgroup directories (v2 leaf, v1 controllers) the step's first process joins before anything else. */
  readonly cgroups: readonly string[];
  readonly shmSizeBytes: number;
  readonly stdin: 'null' | 'inherit';
}

export interface StepHandlers {
  /** Called with chunks as they arrive. */
  readonly onStdout: (chunk: Buffer) => void;
  readonly onStderr: (chunk: Buffer) => void;
  /**
   * Aborting sends SIGTERM (or what an Interruption says) to the step, SIGKILL after the grace period; runStep still
   * resolves with how it ended.
   */
  readonly signal?: AbortSignal;
}

/** The reason of an AbortSignal by which a person stops a step. */
export interface Interruption {
  readonly signal: NodeJS.Signals;
  /** Fires when the person won't wait any longer: the step is killed. */
  readonly again: AbortSignal;
}

/** How the step's first process ended, and what it used. */
export interface StepExit {
  /** Exit status 0 to 255; 128+n when a signal ended it. */
  readonly exitCode: number;
  /** 'SIGKILL' and the like when a signal ended it. */
  readonly signal: string | null;
  readonly userMs: number;
  readonly systemMs: number;
  readonly maxRssBytes: number;
}

/**
 * The machine as tsbuild may use it: as root, or as an ordinary user inside a user namespace with subordinate ids.
 * Directories that steps wrote must be walked, assembled and removed through it: only inside that namespace are
 * their files readable and their owners the image's ids.
 */
export interface Host {
  readonly kind: 'root' | 'user';
  /** False where only the caller's own id is mapped (no subordinate ids): files of other owners can't be made. */
  readonly manyIds: boolean;
  walk(dir: string, options: WalkOptions): Promise<FileStat[]>;
  assemble(request: AssembleRequest): Promise<AssembleResult>;
  /** Creates `dir` and executes `ops` confined to it. */
  applyTree(dir: string, ops: readonly ApplyOp[]): Promise<void>;
  /** Removes directories and everything in them; missing ones are fine. */
  remove(dirs: readonly string[]): Promise<void>;
  /** @throws SystemError LAUNCH_* when the step could not be started (stage, errno and object in the message). */
  runStep(spec: StepSpec, handlers: StepHandlers): Promise<StepExit>;
  /** Mounts a layer's index for a moment: true where this host's kernel can (root, file-backed EROFS). */
  canMountIndex(index: string, tar: string): Promise<boolean>;
  close(): Promise<void>;
}
