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

export type EventSink = (event: BuildEvent) => void;
