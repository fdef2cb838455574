import type { HttpRequest, HttpResponse } from './http-client.js';
import type { RetryOptions } from './retry.js';

/** A session with one registry about one repository. */
export interface Registry {
  /** As the user wrote it: 'localhost:5000'. */
  readonly name: string;
  readonly repository: string;
  readonly origin: URL;
  readonly retry: RetryOptions;
  readonly chunkBytes: number;
  /** What it has said of itself. */
  readonly limits: { leastChunkBytes: number };
  readonly idleTimeoutMs: number;
  /** Who is asked before it, of a pull. */
  readonly sources: Sources;
  /** URL below /v2/<repository>/, or what an upload's Location header said. */
  url(path: string): URL;
  /**
   * One attempt. Answers with the statuses in `expected`; a status that may pass by itself is a TransientError.
   *
   * @throws StoreError REGISTRY_UNAUTHORIZED, REGISTRY_DENIED, REGISTRY_NOT_FOUND, REGISTRY_ANSWER_INVALID
   */
  attempt(request: HttpRequest, expected: readonly number[]): Promise<HttpResponse>;
  /** `attempt` until it succeeds; the body must be re-openable. */
  send(request: HttpRequest, expected: readonly number[]): Promise<HttpResponse>;
  /** Which login it got, and where that was found. */
  describeLogin(): Promise<string>;
  close(): void;
}

export interface Mirror {
  readonly takes: 'all' | 'digest-only' | 'tag-only';
  /** 'mirror.example:5000/hub/library/debian'. */
  readonly name: string;
  open(): Promise<Registry>;
}

/** What came of the mirrors in one session. */
export interface Sources {
  readonly mirrors: readonly Mirror[];
  /** Those that can't be asked: not again in this session. */
  readonly failed: Set<Mirror>;
  /** Who answered last is asked first. */
  preferred: Mirror | 'upstream' | null;
}
