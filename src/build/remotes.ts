// What ADD takes from elsewhere, each fetched once a build however many instructions name it.
import { openView, type RootView } from '#store';
import { withoutCredentials } from '../base/index.js';
import {
  type AgentSocket,
  type ContentDigests,
  downloadSource,
  type SourceTree,
  viewSource,
} from '../executor/index.js';
import type { CopyVertex, RemoteSource } from '../graph/index.js';
import type { RemoteIo } from '../remote/index.js';
import type { Job } from './job.js';
import { remoteIo } from './remote-io.js';

/** What came, named by its content: the SHA-256 of a file, the id of a commit. */
export type Arrived = { readonly sha256: string } | { readonly sha1: string };

export interface Remotes {
  /** What was fetched so far; null: nothing of it. */
  arrivedFrom(source: RemoteSource): Arrived | null;
  open(source: RemoteSource, vertex: CopyVertex, signal: AbortSignal): Promise<SourceTree>;
  close(): Promise<void>;
}

export interface RemotesIo {
  readonly digests: ContentDigests;
  /** The ssh agent that repositories are reached with. */
  agent(): Promise<AgentSocket | null>;
}

export function openRemotes(job: Job, { digests, agent }: RemotesIo): Remotes {
  const fetched = new Map<string, Promise<SourceTree>>();
  const views: RootView[] = [];
  const arrived = new Map<string, Arrived>();
  let opened: Promise<AgentSocket | null> | undefined;
  const agentSocket = async (): Promise<string | null> => {
    opened ??= agent();
    return (await opened)?.path ?? null;
  };

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
      const running = fetched.get(key) ?? fetch(source, remoteIo(job, { ...told(job, vertex), agentSocket, signal }));
      fetched.set(key, running);
      return running;
    },
    close: async () => {
      for (const view of views) view.close();
      await (await opened)?.close();
    },
  };
}

function told({ io }: Job, { id }: CopyVertex): Pick<RemoteIo, 'onProgress'> {
  return { onProgress: (what, done, total) => io.emit({ type: 'progress', vertex: id, what, done, total }) };
}
