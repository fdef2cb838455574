// What stands behind FROM → an image in the store, wherever it comes from.
import { statSync } from 'node:fs';
import { importLayout, type Lease, loadArchive, type Store, type StoredImage, StoreError } from '#store';
import { BuildError } from '../base/index.js';
import type { BaseOptions } from './base-options.js';
import { importHostBase } from './host-base.js';
import { resolveReference } from './registry-base.js';
import { importRootfs } from './rootfs.js';

/**
 * The image for `platform` where the source has several; a single one comes whatever its platform, for the caller to
 * judge (`requirePlatform`).
 *
 * @param ref host://PROGRAMS, oci-layout://DIR[:tag], oci-archive:FILE[:name], docker-archive:FILE[:name], or an image's name
 * @throws BuildError BASE_NOT_FOUND, BASE_AMBIGUOUS, HOST_*; a StoreError's code with the place in the Buildfile
 */
export async function resolveBase(store: Store, lease: Lease, ref: string, options: BaseOptions): Promise<StoredImage> {
  const target = options.contexts?.get(ref) ?? ref;
  try {
    return await fromSource(store, lease, target, options);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new BuildError(error.code, {
      message: withRef(ref, error.message),
      hint: error.hint,
      at: options.at,
      cause: error,
    });
  }
}

async function fromSource(store: Store, lease: Lease, ref: string, options: BaseOptions): Promise<StoredImage> {
  const { scheme, path } = splitScheme(ref);
  switch (scheme) {
    case 'host':
      return importHostBase(store, lease, path, options);
    case 'oci-layout':
      return fromLayout(store, lease, path, options);
    case 'oci-archive':
    case 'docker-archive':
      return fromArchive(store, lease, path, options);
    case 'docker-image':
      return resolveReference(store, lease, path, options);
    default:
      // only as a context's value: as a ref, 'base/' is no image's name and './base' neither
      if (options.contexts?.size && isDirectory(ref)) return importRootfs(store, lease, ref, options);
      return resolveReference(store, lease, ref, options);
  }
}

/** 'host:5000/app' is an image of a registry: where a name could look alike, the slashes count. */
const schemes = /^(host(?=:\/\/)|docker-image(?=:\/\/)|oci-layout|oci-archive|docker-archive):(?:\/\/)?(.*)$/s;

/** `scheme` '' for the name of an image. */
export function splitScheme(ref: string): { scheme: string; path: string } {
  const [, scheme = '', path = ''] = schemes.exec(ref) ?? [];
  return { scheme, path };
}

async function fromLayout(store: Store, lease: Lease, text: string, options: BaseOptions): Promise<StoredImage> {
  const [dir, name] = splitPath(text);
  const [tag, digest] = splitDigest(name);
  const image = await importLayout(store, lease, dir, { tag, platform: options.platform, ...transfer(options) });
  if (digest === undefined || image.digest === digest) return image;
  throw new BuildError('BASE_NOT_FOUND', {
    message: `${dir} holds ${image.digest}, not ${digest}`,
    hint: 'leave the digest out, or name the layout that has it',
    at: options.at,
  });
}

async function fromArchive(store: Store, lease: Lease, text: string, options: BaseOptions): Promise<StoredImage> {
  const [path, name] = splitPath(text);
  const loaded = await loadArchive(store, lease, path, { platform: options.platform, ...transfer(options) });
  const isNamed = (full: string): boolean => full === name || full.endsWith(`/${name}`) || full.endsWith(`:${name}`);
  const matching = name === undefined ? loaded : loaded.filter(({ names }) => names.some(isNamed));
  const [only, ...others] = matching;
  if (only !== undefined && others.length === 0) return only.image;
  const names = loaded.flatMap((entry) => entry.names);
  throw new BuildError(only === undefined ? 'BASE_NOT_FOUND' : 'BASE_AMBIGUOUS', {
    message: only === undefined ? `${path} has no image ${name ?? ''}` : `${path} holds ${matching.length} images`,
    hint: names.length > 0 ? `it has ${names.join(', ')}; add :NAME to the path` : 'its images have no names',
    at: options.at,
  });
}

/** PATH[:name]; a path that exists as it stands has no name. */
function splitPath(text: string): [path: string, name: string | undefined] {
  if (statSync(text, { throwIfNoEntry: false }) !== undefined) return [text, undefined];
  const match = /^([^:@]+|.*\/[^:@]*)[:@](.+)$/s.exec(text);
  if (match === null) return [text, undefined];
  const [, path = '', name = ''] = match;
  return [path, text[path.length] === '@' ? `@${name}` : name];
}

/** 'tag', 'tag@sha256:…' or '@sha256:…'. */
function splitDigest(name: string | undefined): [tag: string | undefined, digest: string | undefined] {
  if (name === undefined) return [undefined, undefined];
  const at = name.indexOf('@');
  return at < 0 ? [name, undefined] : [name.slice(0, at) || undefined, name.slice(at + 1)];
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function transfer({ onProgress }: BaseOptions): { onProgress?: (progress: Transfer) => void } {
  if (onProgress === undefined) return {};
  return {
    onProgress: ({ digest, doneBytes, totalBytes }) =>
      onProgress({ what: digest.slice(0, 19), done: doneBytes, total: totalBytes }),
  };
}

interface Transfer {
  readonly digest: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

function withRef(ref: string, message: string): string {
  return message.includes(ref) ? message : `${ref}: ${message}`;
}
