// What ADD takes from elsewhere, each fetched once a build however many instructions name it.
import { openView, type RootView } from '#store';
import { withoutCredentials } from '../base/index.js';
import { type ContentDigests, downloadSource, type SourceTree, viewSource } from '../executor/index.js';
import type { CopyVertex, RemoteSource } from '../graph/index.js';
import type { RemoteIo } from '../remote/index.js';
import type { Job } from './job.js';

/** What came, named by its content: the SHA-256 of a file, the id of a commit. */
export type Arrived = { readonly sha256: string } | { readonly sha1: string };

export interface Remotes {
  /** What was fetched so far; null: nothing of it. */
  arrivedFrom(source: RemoteSource): Arrived | null;
  open(source: RemoteSource, vertex: CopyVertex, signal: AbortSignal): Promise<SourceTree>;
  close(): void;
}

export function openRemotes(job: Job, digests: ContentDigests): Remotes {
  const fetched = new Map<string, Promise<SourceTree>>();
  const views: RootView[] = [];
  const arrived = new Map<string, Arrived>();

  const fetch = async (source: RemoteSource, io: RemoteIo): Promise<SourceTree> => {
    const { checkOut, download } = await import('../remote/index.js');
    if (source.kind === 'file') {
      const { path, size, sha256, modifiedSec } = await download(source.url, source.sha256, io);
      arrived.set(JSON.stringify(source), { sha256 });
      const file = { name: source.name, path, size, sha256, mtimeSec: modifiedSec ?? 0 };
      return downloadSource(file, withoutCredentials(source.url));
    }
    const { remote, times } = source.repository;
    const { layer, commit } = await checkOut(source.repository, io);
    arrived.set(JSON.stringify(source), { sha1: commit });
    const view = openView(layer === null ? [] : [layer]);
    views.push(view);
    return viewSource(view, withoutCredentials(remote), digests, { timesCount: times === 'commit' });
  };
  return {
    arrivedFrom: (source) => arrived.get(JSON.stringify(source)) ?? null,
    open(source, vertex, signal) {
      const key = JSON.stringify(source);
      const { emit } = job.io;
      const io = remoteIo(job, signal, (what, done, total) =>
        emit({ type: 'progress', vertex: vertex.id, what, done, total }),
      );
      const running = fetched.get(key) ?? fetch(source, io);
      fetched.set(key, running);
      return running;
    },
    close: () => {
      for (const view of views) view.close();
    },
  };
}

/** What a download or a checkout works with. */
export function remoteIo(
  { request, io, lease }: Pick<Job, 'request' | 'io' | 'lease'>,
  signal: AbortSignal,
  onProgress: RemoteIo['onProgress'],
): RemoteIo {
  return {
    store: io.store,
    lease,
    environment: process.env,
    secret: (id) => request.secrets.get(id) ?? null,
    agentSocket: async () => null,
    signal,
    onProgress,
  };
}
