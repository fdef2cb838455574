import type { Platform } from '#store';
import type { Span } from '../base/index.js';
import type { OnSourceProgress } from './progress.js';

export interface BaseOptions {
  readonly platform: Platform;
  /** When registries are asked: for what the store lacks, for everything, or not at all. */
  readonly pull: 'missing' | 'always' | 'never';
  /** Named contexts: a ref that is one of these names stands for its value (docker-image://…, oci-layout://…, a directory). */
  readonly contexts?: ReadonlyMap<string, string> | undefined;
  readonly plainHttp?: boolean | undefined;
  readonly searchPath?: readonly string[] | undefined;
  readonly onProgress?: OnSourceProgress | undefined;
  readonly at?: Span | undefined;
}
