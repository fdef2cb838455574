// The libraries that the loader would map for a program of this machine, found as ld.so(8) does, without running anything.
import { closeSync, openSync, readdirSync, readSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type ElfDynamic,
  type ElfFacts,
  elfHeadBytes,
  type ReadRange,
  readDynamic,
  readElf,
} from '../platform/index.js';
import { readLoaderCache } from './loader-cache.js';

export interface LibraryFinder {
  /**
   * Loader and libraries of the file at `path` (realpath), as the paths that the loader would open; what those need in
   * turn is for the caller to ask. Null if it is no ELF file.
   */
  needs(path: string): Needs | null;
  /** A library by name, for the machine of the file at `path`. */
  named(name: string, path: string): string | undefined;
  /** Whether a library was found that only the loader's cache knows, so that an image with it needs the cache too. */
  usedCache(): boolean;
}

export interface Needs {
  readonly loader: string | null;
  readonly libraries: readonly string[];
  /** Names that this machine has no library for. */
  readonly missing: readonly string[];
}

/** One for a collection of files: what was found once is remembered. */
export function libraryFinder(): LibraryFinder {
  const cache = readLoaderCache();
  const defaults = defaultDirectories();
  const kinds = new Map<string, string | null>();
  /** RPATH is inherited by the libraries that it leads to. */
  const inherited = new Map<string, readonly string[]>();
  let usedCache = false;

  const kindOf = (path: string): string | null => {
    const known = kinds.get(path);
    if (known !== undefined) return known;
    const file = readElfFile(path);
    const kind = file === null ? null : kindName(file.facts);
    kinds.set(path, kind);
    return kind;
  };

  const find = (name: string, kind: string, searched: readonly string[]): string | undefined => {
    if (name.includes('/')) return kindOf(name) === kind ? name : undefined;
    const inDirs = (dirs: readonly string[]) =>
      dirs.map((dir) => `${dir}/${name}`).find((path) => kindOf(path) === kind);
    const direct = inDirs(searched);
    if (direct !== undefined) return direct;
    const cached = cache.get(name)?.find((path) => kindOf(path) === kind);
    if (cached !== undefined && !defaults.includes(dirname(cached))) usedCache = true;
    return cached ?? inDirs([...defaults, '/usr/local/lib']); // the last is musl's
  };

  return {
    needs(path) {
      const file = readElfFile(path);
      if (file === null) return null;
      const rpaths = [...expand(file.dynamic.rpath, path), ...(inherited.get(path) ?? [])];
      const searched = file.dynamic.runpath.length > 0 ? expand(file.dynamic.runpath, path) : rpaths;
      const libraries: string[] = [];
      const missing: string[] = [];
      for (const name of file.dynamic.needed) {
        const library = find(name, kindName(file.facts), searched);
        if (library === undefined) missing.push(name);
        else libraries.push(library);
        if (library !== undefined && rpaths.length > 0) inherited.set(realpathSync(library), rpaths);
      }
      return { loader: file.facts.interpreter, libraries, missing };
    },
    named: (name, path) => {
      const kind = kindOf(path);
      return kind === null ? undefined : find(name, kind, []);
    },
    usedCache: () => usedCache,
  };
}

/** Only files of one machine, class and byte order are mapped together. */
function kindName(facts: ElfFacts): string {
  return `${facts.machine}/${facts.bits}/${facts.endian}`;
}

function readElfFile(path: string): { facts: ElfFacts; dynamic: ElfDynamic } | null {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return null; // a directory of the search path does not have it
  }
  try {
    const read: ReadRange = ({ offset, size }) => {
      const buffer = Buffer.alloc(size);
      return buffer.subarray(0, readSync(file, buffer, 0, size, offset));
    };
    const facts = readElf(read({ offset: 0, size: elfHeadBytes }));
    const dynamic = facts && readDynamic(read);
    return facts && dynamic ? { facts, dynamic } : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EISDIR') return null;
    throw error;
  } finally {
    closeSync(file);
  }
}

/** $ORIGIN is the directory of the object itself. Entries with other variables name directories of special processors. */
function expand(dirs: readonly string[], path: string): string[] {
  return dirs.map((dir) => dir.replace(/\$ORIGIN|\$\{ORIGIN\}/g, dirname(path))).filter((dir) => !dir.includes('$'));
}

/** The trusted directories, with Debian's for each architecture. */
function defaultDirectories(): string[] {
  const multiarch = ['/lib', '/usr/lib'].flatMap((dir) =>
    listed(dir).flatMap((name) => (/^[a-z0-9_]+-linux-[a-z0-9]+$/.test(name) ? [`${dir}/${name}`] : [])),
  );
  return [...multiarch, '/lib64', '/usr/lib64', '/lib', '/usr/lib'];
}

function listed(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
