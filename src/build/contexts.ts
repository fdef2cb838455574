// The directories that a build reads: its context and named contexts.
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type FileStat, rawPath } from '#native';
import { BuildError, type Span } from '../base/index.js';
import { type Context, findIgnoreFile, openContext } from '../context/index.js';
import type { RunVertex } from '../graph/index.js';
import type { KeyInputs } from '../solver/index.js';
import type { BuildRequest } from './request.js';

export interface Contexts {
  /** The main context (null) or a named one. */
  open(name: string | null): Promise<Context>;
  dir(name: string | null): string;
  /** Digests of what a step's bind mounts show it. */
  bindDigests(vertex: RunVertex): Promise<KeyInputs>;
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
    dir,
    bindDigests: async (vertex) => {
      const inputs: Record<string, string> = {};
      for (const mount of vertex.mounts) {
        if (mount.kind !== 'bind' || mount.from.kind !== 'context') continue;
        const context = await open(mount.from.name);
        inputs[mount.target] = await treeDigest(context, mount.source, mount.at);
      }
      return inputs;
    },
    save: () => {
      for (const context of finished) context.save();
    },
  };
}

/**
 * One digest over what a bind mount of `source` shows: names, types, modes, contents; never times, nor where it lies. A
 * context's own mode doesn't count either: it is what git or an archive made of it.
 */
async function treeDigest(context: Context, source: string, at: Span): Promise<string> {
  const path = rawPath(source.replace(/^\/+|\/+$/g, ''));
  const top = path === '' ? null : context.lookup(path);
  if (path !== '' && top === null) {
    throw new BuildError('MOUNT_SOURCE_NOT_FOUND', {
      message: `the build context has no ${source}`,
      hint: context.isIgnored(path) ? 'an ignore rule excludes it' : 'check source= of this mount',
      at,
    });
  }
  const found = [
    ...(top === null ? [] : [top]),
    ...(top === null || top.type === 'dir' ? await context.walk(path) : []),
  ];
  const files = found.filter((file) => file.type === 'file');
  const digests = await context.digests(files);
  const digestOf = new Map(files.map((file, i) => [file, digests[i]]));
  const hash = createHash('sha256');
  for (const file of found) hash.update(`${JSON.stringify(shown(file, path))} ${digestOf.get(file) ?? ''}\n`);
  return hash.digest('hex');
}

function shown({ path, type, mode, linkTarget }: FileStat, top: string): unknown[] {
  return [path.slice(top.length), type, mode, linkTarget];
}
