import type { Lease } from '#store';
import type { RemoteIo } from '../remote/index.js';
import type { BuildIo, BuildRequest } from './request.js';

/** What fetching for a build works with. */
export interface FetchIo {
  readonly io: Pick<BuildIo, 'store' | 'emit' | 'signal'>;
  readonly lease: Lease;
  /** Files that a context consists of are reached with the agent of whoever builds; ADD needs one that the build was given. */
  readonly request: Pick<BuildRequest, 'secrets' | 'ssh'>;
}

export function remoteIo(
  { io, lease, request }: FetchIo,
  more: Omit<RemoteIo, 'store' | 'lease' | 'environment' | 'secret'>,
): RemoteIo {
  return {
    store: io.store,
    lease,
    environment: process.env,
    secret: (id) => request.secrets.get(id) ?? null,
    ...more,
  };
}

/** For a context; progress is told under its name. */
export function contextIo(fetch: FetchIo, name: string): RemoteIo {
  const { emit, signal } = fetch.io;
  return remoteIo(fetch, {
    agentSocket: async () => ownAgent(fetch),
    signal,
    onProgress: (what, done, total) => emit({ type: 'base-progress', ref: name, what, done, total }),
  });
}

function ownAgent({ request }: FetchIo): string | null {
  const given = request.ssh.get('default');
  return given?.kind === 'socket' ? given.path : process.env.SSH_AUTH_SOCK || null;
}
