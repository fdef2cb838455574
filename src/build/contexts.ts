// The directories that a build reads: its context and named contexts.
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Context, findIgnoreFile, openContext } from '../context/index.js';
import type { BuildRequest } from './request.js';

export interface Contexts {
  /** The main context (null) or a named one. */
  open(name: string | null): Promise<Context>;
  /** Keeps what was learned about files for the next build. */
  save(): void;
}

export function openContexts(request: BuildRequest, storeDir: string): Contexts {
  const opened = new Map<string | null, Promise<Context>>();
  const finished: Context[] = [];

  const dir = (name: string | null): string => {
    if (name === null) return resolve(request.contextDir);
    const named = request.contexts.get(name);
    if (named?.kind !== 'directory') throw new Error(`context ${name} is no directory`);
    return resolve(named.dir);
  };
  const start = async (name: string | null): Promise<Context> => {
    const root = dir(name);
    const ignore = findIgnoreFile(root, name === null ? request.buildfilePath : null);
    const cacheDir = join(storeDir, 'cache', 'stat');
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
    save: () => {
      for (const context of finished) context.save();
    },
  };
}
