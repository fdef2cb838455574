import type { Readable } from 'node:stream';
import type { Host } from '#native';
import type { CacheOrigin, CacheTarget, Layer, Platform, SharedCompression, Store } from '#store';
import type { EventSink, GitRepository, SourceFile } from '../base/index.js';
import type { StepSandbox } from '../graph/index.js';
import type { Attested, Output } from './output.js';

/** Files that have to be fetched. */
export type RemoteFiles =
  | { readonly kind: 'git'; readonly repository: GitRepository }
  /** An archive, or one file. */
  | { readonly kind: 'url'; readonly url: string };

/** An archive, or a Buildfile that needs no files. */
interface StreamedFiles {
  readonly kind: 'stream';
  readonly stream: Readable;
  /** An archive of this machine; null: standard input. */
  readonly path: string | null;
}

/** What `--build-context NAME=` gives. */
export type NamedContext =
  | { readonly kind: 'directory'; readonly dir: string }
  | { readonly kind: 'image'; readonly ref: string }
  | { readonly kind: 'stage'; readonly stage: string }
  | RemoteFiles;

/** A Buildfile, and where it lies; null when it came from standard input. */
export interface GivenBuildfile {
  readonly buildfile: SourceFile;
  readonly buildfilePath: string | null;
}

/** Where a build's own files and its Buildfile come from. */
export type BuildSource =
  | (GivenBuildfile & { readonly kind: 'directory'; readonly contextDir: string })
  | {
      readonly kind: 'fetched';
      readonly from: RemoteFiles | StreamedFiles;
      /** A Buildfile from elsewhere than the context; null: it is in there. */
      readonly given: GivenBuildfile | null;
      /** What it is called in there; undefined: by one of the usual names. */
      readonly file: string | undefined;
    };

/** A context that was fetched: it is kept as a layer, from which ignored files are left out already. */
export interface FetchedContext {
  /** One layer, or none where there are no files. */
  readonly layers: readonly Layer[];
  /** The time of the commit, or of the youngest file; null: there are no files. */
  readonly epochSec: number | null;
}

/** Who has the keys of an ssh agent: the agent, or files. */
export type SshSource =
  /** `raw`: bytes pass as they are, whatever listens there. */
  | { readonly kind: 'socket'; readonly path: string; readonly raw: boolean }
  | { readonly kind: 'keys'; readonly keys: readonly SshKey[] };

export interface SshKey {
  /** As it was given. */
  readonly path: string;
  readonly bytes: Buffer;
}

/** The main context of a build, where it was fetched. */
export interface FetchedSource extends FetchedContext {
  /** Where it came from, without what opens doors; '-' is standard input. */
  readonly place: string;
  /** Path of the Buildfile in it; null: it is not in there. */
  readonly buildfile: string | null;
}

/** One build, with everything the command line and the environment said about it. */
export type AskedBuild = Omit<BuildRequest, 'buildfile' | 'buildfilePath' | 'contextDir' | 'fetched'> & {
  readonly source: BuildSource;
};

/** The same when its Buildfile is known. */
export interface BuildRequest {
  readonly buildfile: SourceFile;
  /** Where the Buildfile lies, for the ignore file beside it; null when it is no file of this machine. */
  readonly buildfilePath: string | null;
  /** Null: the context was fetched. */
  readonly contextDir: string | null;
  readonly fetched: FetchedSource | null;
  readonly contexts: ReadonlyMap<string, NamedContext>;
  readonly target: string | undefined;
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  /** Null: this machine's. */
  readonly platform: Platform | null;
  readonly outputs: readonly Output[];
  readonly attested: Attested;
  /** The image is listed in an index of images, with what is attested if anything is. */
  readonly indexed: boolean;
  readonly useCache: boolean;
  /** Stages whose steps are executed whatever the cache has: names as FROM … AS says them, or numbers. */
  readonly freshStages: readonly string[];
  /** Records made before so many milliseconds ago are not used; null: however old they are. */
  readonly cacheTtlMs: number | null;
  /** Where other stores' results are looked for, and where those of this build go. */
  readonly cacheFrom: readonly CacheOrigin[];
  readonly cacheTo: readonly CacheExport[];
  /** Steps executed at the same time; null: as many as there are processors. */
  readonly jobs: number | null;
  readonly pull: 'missing' | 'always';
  /** Plain HTTP to registries elsewhere; undefined: only to those on this machine. */
  readonly plainHttp: true | undefined;
  readonly secrets: ReadonlyMap<string, Buffer>;
  /** Agents by the ids that mounts ask for. */
  readonly ssh: ReadonlyMap<string, SshSource>;
  /** What steps may ask for that others may not. */
  readonly entitlements: ReadonlySet<string>;
  /** Of the container of every step. */
  readonly sandbox: StepSandbox;
  /** Of steps that don't say. */
  readonly network: 'default' | 'host' | 'none';
  readonly archPolicy: 'refuse' | 'warn' | 'allow';
  /** Where `host://` looks for programs that the system's directories don't have. */
  readonly searchPath: readonly string[];
}

export interface CacheExport {
  readonly target: CacheTarget;
  /** 'min': the results that the image consists of; 'max': those of all steps. */
  readonly mode: 'min' | 'max';
  readonly compression: SharedCompression;
  /** Failing is a warning, not the end of the build. */
  readonly ignoreError: boolean;
}

export interface BuildIo {
  readonly store: Store;
  /** Called when the first step needs the machine: a build from cache does not. */
  openHost(): Promise<Host>;
  readonly emit: EventSink;
  readonly signal: AbortSignal;
}
