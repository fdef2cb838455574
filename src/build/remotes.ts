// What ADD takes from elsewhere, each fetched once a build however many instructions name it.
import { openView, type RootView } from '#store';
import { withoutCredentials } from '../base/index.js';
import { type ContentDigests, downloadSource, type SourceTree, viewSource } from '../executor/index.js';
import type { CopyVertex, RemoteSource } from '../graph/index.js';
import type { RemoteIo } from '../remote/index.js';
import type { Job } from './job.js';

export interface Remotes {
  open(source: RemoteSource, vertex: CopyVertex, signal: AbortSignal): Promise<SourceTree>;
  close(): void;
}

export function openRemotes(job: Job, digests: ContentDigests): Remotes {
  const fetched = new Map<string, Promise<SourceTree>>();
  const views: RootView[] = [];

  const fetch = async (source: RemoteSource, io: RemoteIo): Promise<SourceTree> => {
    const { checkOut, download } = await import('../remote/index.js');
    if (source.kind === 'file') {
      const { path, size, sha256, modifiedSec } = await download(source.url, source.sha256, io);
      const file = { name: source.name, path, size, sha256, mtimeSec: modifiedSec ?? 0 };
      return downloadSource(file, withoutCredentials(source.url));
    }
    const { remote, times } = source.repository;
    const { layer } = await checkOut(source.repository, io);
    const view = openView(layer === null ? [] : [layer]);
    views.push(view);
    return viewSource(view, withoutCredentials(remote), digests, { timesCount: times === 'commit' });
  };
  return {
    open(source, vertex, signal) {
      const key = JSON.stringify(source);
      const running = fetched.get(key) ?? fetch(source, ioOf(job, vertex, signal));
      fetched.set(key, running);
      return running;
    },
    close: () => {
      for (const view of views) view.close();
    },
  };
}

function ioOf({ request, io, lease }: Job, vertex: CopyVertex, signal: AbortSignal): RemoteIo {
  return {
    store: io.store,
    lease,
    environment: process.env,
    secret: (id) => request.secrets.get(id) ?? null,
    agentSocket: async () => null,
    signal,
    onProgress: (what, done, total) => io.emit({ type: 'progress', vertex: vertex.id, what, done, total }),
  };
}
