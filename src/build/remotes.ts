// What ADD takes from elsewhere, each fetched once a build however many instructions name it.
import { withoutCredentials } from '../base/index.js';
import { downloadSource, type SourceTree } from '../executor/index.js';
import type { CopyVertex, RemoteSource } from '../graph/index.js';
import type { Download, RemoteIo } from '../remote/index.js';
import type { Job } from './job.js';

export interface Remotes {
  open(source: RemoteSource, vertex: CopyVertex, signal: AbortSignal): Promise<SourceTree>;
}

export function openRemotes({ request, io, lease }: Job): Remotes {
  const fetched = new Map<string, Promise<Download>>();
  const ioOf = (vertex: CopyVertex, signal: AbortSignal): RemoteIo => ({
    store: io.store,
    lease,
    environment: process.env,
    secret: (id) => request.secrets.get(id) ?? null,
    signal,
    onProgress: (what, done, total) => io.emit({ type: 'progress', vertex: vertex.id, what, done, total }),
  });
  return {
    async open(source, vertex, signal) {
      if (source.kind === 'git') throw new Error('not yet');
      const key = JSON.stringify([source.url, source.sha256]);
      const running =
        fetched.get(key) ??
        import('../remote/index.js').then(({ download }) => download(source.url, source.sha256, ioOf(vertex, signal)));
      fetched.set(key, running);
      const { path, size, sha256, modifiedSec } = await running;
      const file = { name: source.name, path, size, sha256, mtimeSec: modifiedSec ?? 0 };
      return downloadSource(file, withoutCredentials(source.url));
    },
  };
}
