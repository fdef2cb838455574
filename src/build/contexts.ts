// The files that a build reads: its context and named contexts, directories or fetched from elsewhere.
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Context, findIgnoreFile, openContext } from '../context/index.js';
import { fetchContext } from './fetch-context.js';
import type { Job } from './job.js';
import { contextIo } from './remote-io.js';
import type { FetchedContext } from './request.js';
import { shownPlace } from './shown-place.js';

export type ContextsIo = Pick<Job, 'request' | 'io' | 'lease'>;

export interface Contexts {
  /** The main context (null) or a named one, where it is a directory. */
  open(name: string | null): Promise<Context>;
  /** What was fetched, which happens when it is first asked for; null: it is a directory. */
  fetched(name: string | null): Promise<FetchedContext | null>;
  /** Keeps what was learned about files for the next build. */
  save(): void;
}

export function openContexts({ request, io, lease }: ContextsIo): Contexts {
  const opened = new Map<string | null, Promise<Context>>();
  const finished: Context[] = [];
  const fetching = new Map<string, Promise<FetchedContext>>();

  const dir = (name: string | null): string => {
    const named = name === null ? null : request.contexts.get(name);
    const found = named?.kind === 'directory' ? named.dir : name === null ? request.contextDir : null;
    if (found === null) throw new Error(`context ${name ?? ''} is no directory`);
    return resolve(found);
  };
  const start = async (name: string | null): Promise<Context> => {
    const root = dir(name);
    const ignore = findIgnoreFile(root, name === null ? request.buildfilePath : null);
    const cacheDir = join(io.store.dir, 'cache', 'stat');
    mkdirSync(cacheDir, { recursive: true, mode: 0o700 });
    const statCacheFile = join(cacheDir, createHash('sha256').update(root).digest('hex').slice(0, 32));
    const context = await openContext(root, { ignore: ignore?.matcher ?? null, statCacheFile });
    finished.push(context);
    return context;
  };
  const open = (name: string | null): Promise<Context> => {
    const context = opened.get(name) ?? start(name);
    opened.set(name, context);
    return context;
  };

  return {
    open,
    async fetched(name) {
      if (name === null) return request.fetched;
      const named = request.contexts.get(name);
      if (named?.kind !== 'git' && named?.kind !== 'url') return null;
      const running = fetching.get(name) ?? fetchContext(named, contextIo({ request, io, lease }, shownPlace(named)));
      fetching.set(name, running);
      return running;
    },
    save: () => {
      for (const context of finished) context.save();
    },
  };
}
