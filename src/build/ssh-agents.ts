// Sockets through which steps reach the ssh agents of a build: one for each mount, as each has an owner of its own.
import { closeSync, constants, mkdirSync, openSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import type { Lease } from '#store';
import type { AgentSocket } from '../executor/index.js';
import type { SshSource } from './request.js';
import { relayAgent, relayBytes } from './ssh-relay.js';

export interface Agents {
  /** A new socket that leads to the agent of this id; null: the build has none of it. */
  open(id: string): Promise<AgentSocket | null>;
  close(): Promise<void>;
}

export function openAgents(sources: ReadonlyMap<string, SshSource>, lease: Lease): Agents {
  const started = new Map<string, Promise<AgentSocket>>();
  /** Where the agent itself listens. Keys in files get an agent of their own, when the first step wants it. */
  const socketOf = async (id: string, source: SshSource): Promise<string> => {
    if (source.kind === 'socket') return source.path;
    const { startKeyAgent } = await import('./ssh-keys.js');
    const agent = started.get(id) ?? startKeyAgent(source.keys, lease.path('ssh-agent'));
    started.set(id, agent);
    return (await agent).path;
  };
  return {
    open: async (id) => {
      const source = sources.get(id);
      if (source === undefined) return null;
      const path = await socketOf(id, source);
      const relay = source.kind === 'socket' && source.raw ? relayBytes : relayAgent;
      return listen(lease.path('ssh'), (client) => relay(client, connectTo(path)));
    },
    close: async () => {
      const agents = await Promise.allSettled(started.values());
      await Promise.all(agents.map((agent) => (agent.status === 'fulfilled' ? agent.value.close() : undefined)));
    },
  };
}

/** @param dir a directory to make for it */
async function listen(dir: string, serve: (client: Socket) => void): Promise<AgentSocket> {
  mkdirSync(dir, { mode: 0o700 });
  const clients = new Set<Socket>();
  // What one side has ended, the other may still answer.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    clients.add(client);
    client.once('close', () => clients.delete(client));
    serve(client);
  });
  const directory = openSync(dir, constants.O_RDONLY | constants.O_DIRECTORY);
  await listening(server, shortPath(directory, 'socket'));
  return {
    path: join(dir, 'socket'),
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const client of clients) client.destroy();
      await closed;
      closeSync(directory); // not before: the server removed its socket by the path that it was given
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
}

function connectTo(path: string): Socket {
  const directory = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const address = { path: shortPath(directory, basename(path)), allowHalfOpen: true };
    return connect(address); // at once, as far as the path is concerned
  } finally {
    closeSync(directory);
  }
}

/** The address of a socket has room for 107 bytes, and stores may lie deep. */
function shortPath(directory: number, name: string): string {
  return `/proc/self/fd/${directory}/${name}`;
}
