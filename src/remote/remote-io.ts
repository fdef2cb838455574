import type { Lease, Store } from '#store';

/** What fetching works with. */
export interface RemoteIo {
  readonly store: Store;
  readonly lease: Lease;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Value of a secret, null when there is none of that id. */
  secret(id: string): Buffer | null;
  /** Where the build's ssh agent listens; null: it was given none. */
  agentSocket(): Promise<string | null>;
  readonly signal: AbortSignal;
  /** `total` null: not known. */
  onProgress(what: string, done: number, total: number | null): void;
}
