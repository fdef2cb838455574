// What an image holds, read from the store's tars alone, by an independent tar reader and the specification's words:
// the cases must not believe what our own readers say.
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { extract, type Header } from 'tar-stream';

export interface ImageFiles {
  readonly config: Readonly<Record<string, unknown>>;
  readonly diffIds: readonly string[];
  /** Member names of each layer in their order; directories end with a slash. */
  readonly members: readonly (readonly string[])[];
  /** What a container would see, by absolute path. */
  readonly tree: ReadonlyMap<string, ImageFile>;
}

export interface ImageFile {
  readonly type: string;
  /** Octal, as in '755'. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  /** Of a regular file: its text; of one that is not UTF-8: 'sha256:…'. */
  readonly content?: string;
  /** Of a symlink: its text. */
  readonly link?: string;
  /** The other names of the file, first name first: equal for all of them. */
  readonly names?: readonly string[];
}

/** Where an image's parts lie. */
interface ImageParts {
  /** The file with the image's config. */
  readonly config: string;
  /** The file with the tar of a layer, not compressed. */
  layer(diffId: string): string;
  /** Equal for layers that are known to be the same, so that they are read once. */
  layerKey(diffId: string): string;
}

/** An image of a store. @param digest of its manifest, or of the index that it is in */
export function readImageFiles(store: string, digest: string): Promise<ImageFiles> {
  const blob = (of: string): string => join(store, 'blobs', of.replace(':', '/'));
  const layer = (diffId: string): string => join(store, 'layers', diffId.replace(':', '/'), 'tar');
  const root = readJson(blob(digest)) as { manifests?: { digest: string }[] };
  const manifest = blob(root.manifests?.[0]?.digest ?? digest);
  return readImage({ config: blob(configDigest(manifest)), layer, layerKey: layer });
}

/** An image as skopeo and buildah write it to `dir:`, its layers not compressed. */
export function readDirImage(dir: string): Promise<ImageFiles> {
  const blob = (of: string): string => join(dir, of.slice(of.indexOf(':') + 1));
  return readImage({
    config: blob(configDigest(join(dir, 'manifest.json'))),
    layer: blob,
    layerKey: (diffId) => diffId,
  });
}

/** An image as they write it to `oci:`: the first of the layout. */
export function readLayoutImage(dir: string): Promise<ImageFiles> {
  const blob = (of: string): string => join(dir, 'blobs', of.replace(':', '/'));
  const index = readJson(join(dir, 'index.json')) as { manifests: { digest: string }[] };
  const [first] = index.manifests;
  const listed = readJson(blob(first?.digest ?? '')) as { manifests?: { digest: string }[] };
  const manifest = blob(listed.manifests?.[0]?.digest ?? first?.digest ?? '');
  return readImage({ config: blob(configDigest(manifest)), layer: blob, layerKey: (diffId) => diffId });
}

function configDigest(manifestFile: string): string {
  return (readJson(manifestFile) as { config: { digest: string } }).config.digest;
}

async function readImage(parts: ImageParts): Promise<ImageFiles> {
  const config = readJson(parts.config) as { rootfs: { diff_ids: string[] | null } };
  const diffIds = config.rootfs.diff_ids ?? []; // null: how Go writes an empty list
  const layers = await Promise.all(diffIds.map((diffId) => readLayer(parts, diffId)));
  return {
    config: config as unknown as ImageFiles['config'],
    diffIds,
    members: layers.map((layer) => layer.map(({ name }) => name)),
    tree: mergedTree(layers),
  };
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

interface Member {
  /** As it stands in the tar. */
  readonly name: string;
  readonly path: string;
  readonly header: Header;
  /** As imageFile says it. */
  readonly content: string;
}

const known = new Map<string, Promise<Member[]>>();

/** Bases are shared by many images: each layer is read once. */
function readLayer(parts: ImageParts, diffId: string): Promise<Member[]> {
  const key = parts.layerKey(diffId);
  const layer = known.get(key) ?? readTar(parts.layer(diffId));
  known.set(key, layer);
  return layer;
}

async function readTar(path: string): Promise<Member[]> {
  const members: Member[] = [];
  const reader = createReadStream(path).pipe(extract());
  for await (const entry of reader) {
    const { header } = entry;
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    const bare = header.name.replace(/\/$/, '');
    const name = header.type === 'directory' ? `${bare}/` : bare;
    members.push({ name, path: `/${bare}`, header, content: textOf(Buffer.concat(chunks)) });
  }
  return members;
}

/** @see OCI image-spec v1.1, layer.md "Applying Changesets" */
function mergedTree(layers: readonly (readonly Member[])[]): Map<string, ImageFile> {
  const tree = new Map<string, ImageFile>();
  const remove = (path: string): void => {
    const left = tree.get(path)?.names?.filter((name) => name !== path) ?? [];
    tree.delete(path);
    for (const name of left) tree.set(name, withNames(tree.get(name)!, left));
  };
  const removeBelow = (dir: string): void => {
    for (const path of tree.keys()) if (path.startsWith(`${dir}/`)) remove(path);
  };
  for (const layer of layers) {
    for (const { path } of layer) {
      const slash = path.lastIndexOf('/');
      const name = path.slice(slash + 1);
      if (name === '.wh..wh..opq') removeBelow(path.slice(0, slash));
      else if (name.startsWith('.wh.')) {
        const removed = `${path.slice(0, slash)}/${name.slice('.wh.'.length)}`;
        remove(removed);
        removeBelow(removed);
      }
    }
    for (const member of layer) {
      if (member.path.includes('/.wh.')) continue;
      remove(member.path);
      if (member.header.type !== 'directory') removeBelow(member.path);
      tree.set(member.path, imageFile(member, tree));
    }
  }
  return tree;
}

function withNames({ names: _, ...file }: ImageFile, names: readonly string[]): ImageFile {
  return names.length > 1 ? { ...file, names } : file;
}

type Pax = { readonly mtime?: string } | null | undefined;

function imageFile({ path, header, content }: Member, tree: Map<string, ImageFile>): ImageFile {
  if (header.type === 'link') {
    const first = `/${header.linkname}`;
    const file = tree.get(first);
    if (file === undefined) throw new Error(`${path} is a hardlink to ${first}, which is not there`);
    const linked = { ...file, names: [...(file.names ?? [first]), path] };
    for (const name of linked.names) tree.set(name, linked);
    return linked;
  }
  return {
    type: header.type ?? 'file',
    mode: ((header.mode ?? 0) & 0o7777).toString(8), // some writers add the bits of the type,
    uid: header.uid ?? 0,
    gid: header.gid ?? 0,
    mtime: Number((header.pax as Pax)?.mtime ?? (header.mtime?.getTime() ?? 0) / 1000),
    ...(header.type === 'file' ? { content } : {}),
    ...(header.type === 'symlink' ? { link: header.linkname ?? '' } : {}),
  };
}

function textOf(content: Buffer): string {
  if (content.length < 4096 && isUtf8(content)) return content.toString('utf8');
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}
