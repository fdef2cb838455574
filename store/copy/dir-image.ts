// A directory as skopeo's dir: transport has it: version, manifest.json, blobs by the digits of their digests, and of an index
// the manifests as DIGITS.manifest.json. Nothing in it is a link to elsewhere, and names from outside are digests that were parsed.
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makePath } from '../content/make-path.js';
import { StoreError } from '../errors.js';
import { parseImageDocument } from '../image/document.js';
import { descriptorOf } from '../image/images.js';
import { maxDocumentBytes } from '../image/strict-json.js';
import { openRegular, readAtMost } from '../transport/layout-import.js';
import { inParallel } from '../transport/progress.js';
import { type Descriptor, type Digest, mediaTypes } from '../words.js';
import type { ImageDestination, ImageSource } from './image-source.js';
import { writeBlobAt } from './write-blob.js';

const versionText = 'Directory Transport Version: 1.1\n';
const blobsAtOnce = 4;

/** @throws StoreError DIR_IMAGE_INVALID */
export async function openDirSource(dir: string): Promise<ImageSource> {
  const version = await readFileOf(dir, 'version');
  if (version !== null && !/^Directory Transport Version: 1\.\d+\n?$/.test(version.toString('latin1'))) {
    throw invalid(dir, 'its version is not known');
  }
  const bytes = await readFileOf(dir, 'manifest.json');
  if (bytes === null) throw invalid(dir, 'it has no manifest.json');
  const document = parseImageDocument(bytes, `manifest.json of ${dir}`);
  const mediaType =
    document.kind === 'index'
      ? (document.index.mediaType ?? mediaTypes.ociIndex)
      : (document.manifest.mediaType ?? mediaTypes.ociManifest);
  return {
    name: dir,
    root: async () => ({ descriptor: descriptorOf(bytes, mediaType), bytes }),
    async readDocument({ digest }) {
      const found = (await readFileOf(dir, `${hex(digest)}.manifest.json`)) ?? (await readFileOf(dir, hex(digest)));
      if (found !== null) return found;
      throw lacks(dir, digest);
    },
    openBlob: (blob, start = 0) => streamOf(dir, blob, start),
    repositoriesAt: () => [],
    close: async () => {},
  };
}

async function readFileOf(dir: string, name: string): Promise<Buffer | null> {
  const file = await openRegular(join(dir, name));
  if (file === null) return null;
  try {
    return await readAtMost(file, maxDocumentBytes + 1);
  } finally {
    await file.close();
  }
}

async function* streamOf(dir: string, { digest }: Descriptor, start: number): AsyncGenerator<Uint8Array> {
  const file = await openRegular(join(dir, hex(digest)));
  if (file === null) throw lacks(dir, digest);
  yield* createReadStream('', { fd: file, start, highWaterMark: 1 << 20 });
}

/** A directory of that kind loses the image it had: manifest.json is replaced last, and what only the old one named goes. */
export function dirDestination(dir: string): ImageDestination {
  return {
    name: dir,
    holdsIndexes: true,
    wantsCompressed: false,
    async write({ root, documents, blobs }, source, { onProgress, signal }) {
      await prepareDir(dir);
      await inParallel(blobs, blobsAtOnce, async (blob) => {
        signal?.throwIfAborted();
        const report = (state: 'receiving' | 'done', doneBytes: number): void =>
          onProgress?.({ digest: blob.digest, state, doneBytes, totalBytes: blob.size });
        await appear(join(dir, hex(blob.digest)), async (temp) => {
          const file = await open(temp, 'wx+', 0o644);
          try {
            await writeBlobAt(file, 0, source.openBlob(blob), blob, source.name, (bytes) => report('receiving', bytes));
          } finally {
            await file.close();
          }
        });
        report('done', blob.size);
      });
      const files: [name: string, bytes: Buffer | string][] = [
        ...documents.map(({ descriptor, bytes }): [string, Buffer] => [
          `${hex(descriptor.digest)}.manifest.json`,
          bytes,
        ]),
        ['version', versionText],
        ['manifest.json', root.bytes],
      ];
      for (const [name, bytes] of files) {
        await appear(join(dir, name), (temp) => writeFile(temp, bytes, { flag: 'wx', mode: 0o644 }));
      }
      await removeOthers(dir, new Set([...files.map(([name]) => name), ...blobs.map(({ digest }) => hex(digest))]));
    },
  };
}

/** @throws StoreError DIR_NOT_EMPTY: a directory that holds something else */
async function prepareDir(dir: string): Promise<void> {
  makePath(dir);
  const names = await readdir(dir);
  if (names.length === 0 || names.includes('version')) return;
  throw new StoreError('DIR_NOT_EMPTY', {
    message: `${dir} is not empty and holds no image: it contains ${JSON.stringify(names.sort()[0])}`,
    hint: 'name a new or empty directory, or one that an image was copied to',
  });
}

async function removeOthers(dir: string, kept: ReadonlySet<string>): Promise<void> {
  const ours = /^[0-9a-f]{64}(\.manifest\.json)?$|^signature-\d+$/;
  for (const name of await readdir(dir)) if (ours.test(name) && !kept.has(name)) await rm(join(dir, name));
}

async function appear(path: string, write: (temp: string) => Promise<void>): Promise<void> {
  const temp = `${path}.${randomUUID()}`;
  try {
    await write(temp);
    await rename(temp, path);
  } finally {
    await rm(temp, { force: true });
  }
}

function hex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

function lacks(dir: string, digest: Digest): StoreError {
  return new StoreError('DIR_IMAGE_INVALID', {
    message: `${dir} lacks the blob ${digest}`,
    hint: 'it is incomplete; copy the image again',
  });
}

function invalid(dir: string, problem: string): StoreError {
  return new StoreError('DIR_IMAGE_INVALID', {
    message: `${dir} is no image directory: ${problem}`,
    hint: "it should be what 'skopeo copy … dir:DIR' or 'tsbuild copy … dir:DIR' writes; a layout is named oci:DIR",
  });
}
