// What 'host://sh,coreutils' stands for: names → files of this machine with everything that they need to run.
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { basename } from 'node:path';
import { BuildError, closest, type Span } from '../base/index.js';
import { readShebang } from '../platform/index.js';
import { companionsOf, packageCompanions } from './companions.js';
import { packageClosure, packageFiles, packageNames } from './debian-packages.js';
import { type HostFiles, isPrivate } from './host-files.js';
import type { LibraryFinder } from './shared-libraries.js';

export interface HostRequest {
  /** Programs by name or absolute path, Debian packages (`pkg:NAME` with their dependencies). */
  readonly names: readonly string[];
  /** Where programs are looked for. */
  readonly searchPath: readonly string[];
  readonly at?: Span | undefined;
}

/**
 * Adds every name's files to `files`, with the loader, libraries, script interpreters and companions of each.
 *
 * @throws BuildError HOST_PROGRAM_NOT_FOUND, HOST_PROGRAM_PRIVATE, HOST_LIBRARY_NOT_FOUND
 */
export function collectPrograms(request: HostRequest, files: HostFiles, finder: LibraryFinder): void {
  const collection: Collection = { request, files, finder, programs: new Set() };
  for (const name of request.names) addName(collection, name);
}

interface Collection {
  readonly request: HostRequest;
  readonly files: HostFiles;
  readonly finder: LibraryFinder;
  /** Paths that have been added as programs. */
  readonly programs: Set<string>;
}

function addName(collection: Collection, name: string): void {
  const program = findProgram(collection, name);
  if (name.startsWith('pkg:')) addClosure(collection, name.slice(4));
  else if (name.startsWith('/')) addPath(collection, name);
  else if (program !== undefined) addProgram(collection, program);
  else addPackage(collection, name);
}

/** Programs only: what else a step needs is for COPY to bring, from a context that the user chose. */
function addPath(collection: Collection, path: string): void {
  if (!isProgram(path)) throw notFound(collection, path);
  addProgram(collection, path);
}

function addClosure(collection: Collection, name: string): void {
  const closure = packageClosure(name);
  if (closure.length === 0) throw notFound(collection, name);
  for (const each of closure) addPackage(collection, each);
}

function addPackage(collection: Collection, name: string): void {
  const { files } = collection;
  const listed = packageFiles(name);
  if (listed === null) throw notFound(collection, name);
  for (const path of listed) {
    if (!existsSync(path)) continue; // dpkg was told to leave it out
    if (/\/s?bin\/[^/]+$/.test(path) && statSync(path).isFile()) addProgram(collection, path);
    else settle(collection, files.add(path), 'others');
  }
  for (const path of packageCompanions(name)) settle(collection, files.addTree(path), 'others');
}

function addProgram(collection: Collection, path: string): void {
  const { files, programs } = collection;
  if (programs.has(path)) return;
  programs.add(path);
  if (isPrivate(statSync(path))) throw privateProgram(collection, path);
  settle(collection, files.add(path), 'program');
  const real = realpathSync(path);
  for (const directory of companionsOf(real)) settle(collection, files.addTree(directory), 'others');
  const shebang = readShebang(readHead(real));
  if (shebang === null || !existsSync(shebang.interpreter)) return;
  addProgram(collection, shebang.interpreter);
  const byEnv = basename(shebang.interpreter) === 'env' ? findProgram(collection, shebang.argument) : undefined;
  if (byEnv !== undefined) addProgram(collection, byEnv);
}

/** Adds what newly added files need in turn. What a whole directory lacks may be optional; what a program lacks is not. */
function settle(collection: Collection, added: readonly string[], kind: 'program' | 'others'): void {
  const { files, finder } = collection;
  const queue = [...added];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const needs = finder.needs(path);
    if (needs === null) continue;
    if (kind === 'program' && needs.missing.length > 0) throw libraryNotFound(collection, path, needs.missing);
    const loader = needs.loader !== null && existsSync(needs.loader) ? [needs.loader] : [];
    const byName = loader[0]?.includes('ld-linux')
      ? loadedByName.flatMap((name) => finder.named(name, path) ?? [])
      : [];
    for (const library of [...loader, ...byName, ...needs.libraries]) queue.push(...files.add(library));
  }
}

/** Libraries that glibc loads by name when it looks up users and hosts, and when a thread is cancelled. */
const loadedByName = ['libnss_files.so.2', 'libnss_dns.so.2', 'libgcc_s.so.1'];

function findProgram({ request }: Collection, name: string): string | undefined {
  if (name === '' || name.includes('/')) return undefined;
  return request.searchPath.map((dir) => `${dir}/${name}`).find(isProgram);
}

function notFound({ request }: Collection, name: string): BuildError {
  const known = name.startsWith('/') ? [] : [...request.searchPath.flatMap(listedNames), ...packageNames()];
  const close = closest(name, known);
  return new BuildError('HOST_PROGRAM_NOT_FOUND', {
    message: `this machine has no ${name.startsWith('/') ? 'program' : 'program or installed package'} ${name}`,
    hint: close
      ? `did you mean ${close}?`
      : 'install it here, or use another base; host:// takes programs by name or path, and Debian packages',
    at: request.at,
  });
}

function libraryNotFound({ request }: Collection, path: string, missing: readonly string[]): BuildError {
  return new BuildError('HOST_LIBRARY_NOT_FOUND', {
    message: `${path} needs ${missing.join(', ')}, which this machine does not have`,
    hint: 'this program does not run here either: install its library',
    at: request.at,
  });
}

function privateProgram({ request }: Collection, path: string): BuildError {
  return new BuildError('HOST_PROGRAM_PRIVATE', {
    message: `${path} is not readable by everyone on this machine, so host:// does not put it into an image`,
    hint: `chmod o+r ${path}, or bring it with COPY`,
    at: request.at,
  });
}

function readHead(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const head = Buffer.alloc(256);
    return head.subarray(0, readSync(file, head));
  } finally {
    closeSync(file);
  }
}

/** False for what can't be looked at, too: PATH may name directories of other people. */
function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function listedNames(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
