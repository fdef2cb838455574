// A base made of this machine's own programs: `FROM host://sh,coreutils`. It needs no network and no other base.
import { createHash } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { displayPath, walkTree, type Xattr } from '#native';
import {
  commitDraft,
  type Digest,
  type DraftEntry,
  type Lease,
  lookupCache,
  putImage,
  readImage,
  recordCache,
  type Store,
  type StoredImage,
  StoreError,
} from '#store';
import { BuildError, type Span } from '../base/index.js';
import { formatPlatform, hostPlatform, recordLayer } from '../platform/index.js';
import { baseConfig, defaultPath } from './base-config.js';
import { isLeftOut } from './companions.js';
import { type HostFiles, hostFiles } from './host-files.js';
import { collectPrograms, type HostRequest } from './host-programs.js';
import { libraryFinder } from './shared-libraries.js';

export interface HostBaseOptions {
  /** Directories to look for programs in when the system's own don't have them (the user's PATH). */
  readonly searchPath?: readonly string[] | undefined;
  readonly at?: Span | undefined;
}

/**
 * Makes a minimal root of the named programs with their libraries, loader, script interpreters, and what a program finds
 * by itself (an interpreter's library). The same files give the same image; unchanged ones are not read again.
 *
 * @param spec 'host://' and names, separated by commas: programs, absolute paths, installed Debian packages, or `pkg:NAME`
 *   for a package with all that it depends on
 * @throws BuildError HOST_SPEC_EMPTY, HOST_PROGRAM_NOT_FOUND, HOST_PROGRAM_PRIVATE, HOST_LIBRARY_NOT_FOUND
 */
export async function importHostBase(
  store: Store,
  lease: Lease,
  spec: string,
  options: HostBaseOptions = {},
): Promise<StoredImage> {
  const names = spec
    .replace(/^host:\/\//, '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  if (names.length === 0) throw emptySpec(options.at);
  const searchPath = [...defaultPath.split(':'), ...(options.searchPath ?? [])];
  const key = createHash('sha256')
    .update(JSON.stringify(['host-base 1', hostPlatform(), names, searchPath]))
    .digest('hex');
  const known = await knownImage(store, key);
  if (known !== null) return known;

  const collected = await collect({ names, searchPath, at: options.at });
  const { layer, heads } = await commitDraft(store, lease, collected.drafts);
  recordLayer(layer, heads);
  const config = baseConfig({
    layer,
    platform: hostPlatform(),
    createdBy: `FROM host://${names.join(',')}`,
    createdSec: collected.drafts.reduce((newest, { mtimeSec }) => Math.max(newest, mtimeSec), 0),
    config: { Cmd: ['/bin/sh'] },
  });
  const image = await putImage(store, lease, { config });
  const inputs: CachedInputs = { image: image.digest, files: collected.marks };
  recordCache(store, key, { diffId: layer.diffId, inputs });
  return image;
}

async function collect(request: HostRequest): Promise<{ drafts: DraftEntry[]; marks: FileMark[] }> {
  const finder = libraryFinder();
  const files = hostFiles(isLeftOut);
  collectPrograms(request, files, finder);
  addRoot(files);
  if (finder.usedCache()) files.add(loaderCache);
  const paths = files.paths();
  const capabilities = await fileCapabilities(paths.map(({ path }) => path));
  const drafts = files.drafts((path) => capabilities.get(path) ?? []);
  const marks = paths.map(({ path, whole }): FileMark => [path, whole, fileMark(path, whole)]);
  return { drafts, marks: [...marks, [loaderCache, false, fileMark(loaderCache, false)]] };
}

/** Which library is found can change without any of the collected files. */
const loaderCache = '/etc/ld.so.cache';

/** What any root has: the directories that steps mount on and write to, the layout of /usr as here, users and look-up rules. */
function addRoot(files: HostFiles): void {
  const isLink = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  for (const path of ['/bin', '/sbin', '/lib', '/lib64']) if (isLink(path)) files.add(path);
  const directories = ['/dev', '/etc', '/home', '/proc', '/run', '/sys', '/usr', '/usr/bin', '/var'];
  for (const path of directories) files.make({ path, type: 'dir', mode: 0o755 });
  files.make({ path: '/root', type: 'dir', mode: 0o700 });
  for (const path of ['/tmp', '/var/tmp']) files.make({ path, type: 'dir', mode: 0o1777 });
  files.make({ path: '/etc/passwd', type: 'file', mode: 0o644, text: passwd });
  files.make({ path: '/etc/group', type: 'file', mode: 0o644, text: 'root:x:0:\nnogroup:x:65534:\n' });
  files.make({ path: '/etc/nsswitch.conf', type: 'file', mode: 0o644, text: nsswitch });
}

const passwd = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n';
const nsswitch = 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n';

/** security.capability of programs, by path; only directories of programs are looked through. */
async function fileCapabilities(paths: readonly string[]): Promise<ReadonlyMap<string, readonly Xattr[]>> {
  const directories = new Set(
    paths.map((path) => dirname(path)).filter((dir) => /^\/(usr\/(local\/)?)?s?bin$/.test(dir)),
  );
  const found = new Map<string, readonly Xattr[]>();
  for (const dir of directories) {
    if (lstatSync(dir).isSymbolicLink()) continue;
    for (const { path, xattrs } of await walkTree(dir, { xattrs: true })) {
      const capability = xattrs.filter(({ name }) => name === 'security.capability');
      if (capability.length > 0) found.set(`${dir}/${displayPath(path)}`, capability);
    }
  }
  return found;
}

interface CachedInputs {
  readonly image: Digest;
  readonly files: readonly FileMark[];
}

/** `mark` tells a changed file; null where there was none. */
type FileMark = readonly [path: string, whole: boolean, mark: string | null];

/** The image made last time, if it is still there and none of its files changed since. */
async function knownImage(store: Store, key: string): Promise<StoredImage | null> {
  const record = lookupCache(store, key);
  if (record === null) return null;
  const { image, files } = record.inputs as CachedInputs;
  if (!files.every(([path, whole, mark]) => fileMark(path, whole) === mark)) return null;
  try {
    return await readImage(store, image);
  } catch (error) {
    if (error instanceof StoreError) return null; // collected, or damaged: it is made again
    throw error;
  }
}

/** A directory of which only some files came along changes for reasons of others. */
function fileMark(path: string, whole: boolean): string | null {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return null;
  if (stat.isDirectory() && !whole) return `${stat.mode}`;
  return [stat.size, stat.mtimeMs, stat.ctimeMs, stat.ino, stat.mode].join(' ');
}

function emptySpec(at: Span | undefined): BuildError {
  return new BuildError('HOST_SPEC_EMPTY', {
    message: 'host:// names no program',
    hint: `name programs of this ${formatPlatform(hostPlatform())} machine, such as host://sh,coreutils`,
    at,
  });
}
