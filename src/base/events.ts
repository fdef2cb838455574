// What a build says while it runs. The report folder turns these into progress; nobody else prints.
import type { Span } from './span.js';

export type BuildEvent =
  | { readonly type: 'build-start'; readonly buildfile: string; readonly vertices: number }
  /** The language that the Buildfile asks for by name: one of those that are built in. */
  | { readonly type: 'frontend'; readonly name: string }
  /** A base image on its way, before the build is planned. */
  | {
      readonly type: 'base-progress';
      readonly ref: string;
      readonly what: string;
      readonly done: number;
      readonly total: number | null;
    }
  | { readonly type: 'vertex-start'; readonly vertex: number; readonly name: string }
  /** Output of a step as it arrived; not necessarily whole lines. */
  | { readonly type: 'log'; readonly vertex: number; readonly stream: 'stdout' | 'stderr'; readonly chunk: Buffer }
  | {
      readonly type: 'progress';
      readonly vertex: number;
      readonly what: string;
      readonly done: number;
      readonly total: number | null;
    }
  /** Why a vertex has to be executed. */
  | ({ readonly type: 'not-cached'; readonly vertex: number } & CacheMiss)
  /** An executed vertex has the result that it had before: nothing that follows it need be executed for its sake. */
  | { readonly type: 'result-unchanged'; readonly vertex: number }
  | {
      readonly type: 'vertex-done';
      readonly vertex: number;
      readonly cached: boolean;
      readonly durationMs: number;
      readonly layerBytes: number | null;
    }
  | { readonly type: 'vertex-failed'; readonly vertex: number; readonly durationMs: number; readonly canceled: boolean }
  | {
      readonly type: 'warning';
      readonly code: string;
      readonly message: string;
      readonly at: Span | undefined;
      readonly hint: string | undefined;
      /** Set if a build check found it: `code` is the name of its rule. */
      readonly check?: { readonly description: string; readonly url: string } | undefined;
    }
  /** An output on its way, when all steps are done. */
  | { readonly type: 'output-progress'; readonly what: string; readonly done: number; readonly total: number }
  | {
      readonly type: 'build-done';
      readonly digest: string;
      readonly tags: readonly string[];
      readonly durationMs: number;
    };

export interface CacheMiss {
  readonly reason: /** Nothing like it was ever built. */
    | 'first-build'
    | 'new-step'
    /** Something that it says or reads. */
    | 'changed'
    /** Another step below it, or the base image. */
    | 'follows'
    | 'no-cache'
    | 'no-cache-filter'
    /** It has no result yet: the build that tried failed, or was interrupted. */
    | 'failed'
    /** There was a result, which is no longer in the store. */
    | 'removed'
    /** There is one, which is older than --cache-ttl allows. */
    | 'expired';
  /** One line for people. */
  readonly text: string;
  /** What of its key differs. */
  readonly changes: readonly KeyChange[];
  /** How many more do. */
  readonly moreChanges: number;
  /** The vertex whose result made the difference. */
  readonly cause: number | null;
  readonly hint: string | null;
}

/** One component of a key that differs. */
export interface KeyChange {
  /** 'file', 'arg', 'env', 'command', 'mount', 'base', … */
  readonly what: string;
  /** Of the variable, the file, the mount or the image. */
  readonly name?: string;
  /** What of it: 'content', 'mode', 'owner', 'new', 'gone', … */
  readonly aspect?: string;
  readonly from?: string;
  readonly to?: string;
  /** It isn't told what it was and is: its name sounds like a secret's. */
  readonly hidden?: true;
}

export type EventSink = (event: BuildEvent) => void;
