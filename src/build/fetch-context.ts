// Contexts from elsewhere → a layer each: what is in a commit, in an archive, or one file.
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { rawPath } from '#native';
import {
  bareMeta,
  commitDraft,
  findLayer,
  importLayer,
  type Layer,
  lookupCache,
  recordCache,
  StoreError,
  scanTar,
} from '#store';
import { BuildError, withoutCredentials } from '../base/index.js';
import type { Download, RemoteIo } from '../remote/index.js';
import type { FetchedContext, RemoteFiles } from './request.js';

/** What a URL's file is called where it is no archive. */
const fileName = 'context';

/** @throws BuildError CONTEXT_ARCHIVE_INVALID; whatever fetching throws */
export async function fetchContext(files: RemoteFiles, io: RemoteIo): Promise<FetchedContext> {
  const { checkOut, download } = await import('../remote/index.js');
  if (files.kind === 'git') {
    const { layer, committedSec } = await checkOut(files.repository, io);
    return { layers: layer === null ? [] : [layer], epochSec: committedSec };
  }
  const found = await download(files.url, null, io);
  return fetched(await layerOfDownload(found, withoutCredentials(files.url), io));
}

/** An archive, compressed or not. @throws BuildError CONTEXT_ARCHIVE_INVALID */
export async function importContext(
  bytes: AsyncIterable<Uint8Array>,
  name: string,
  { store, lease }: Pick<RemoteIo, 'store' | 'lease'>,
): Promise<FetchedContext> {
  return fetched(await importNamed(bytes, name, { store, lease }));
}

async function layerOfDownload(found: Download, name: string, io: RemoteIo): Promise<Layer> {
  const key = `context ${found.sha256}`;
  const known = lookupCache(io.store, key)?.diffId ?? null;
  const layer = known === null ? null : findLayer(io.store, known);
  if (layer !== null) return layer;
  const made = isArchive(await readHead(found.path))
    ? await importNamed(createReadStream(found.path, { highWaterMark: 1 << 20 }), name, io)
    : await layerOfFile(found, io);
  recordCache(io.store, key, { diffId: made.diffId, inputs: {} });
  return made;
}

async function layerOfFile({ path, size, modifiedSec }: Download, io: RemoteIo): Promise<Layer> {
  const content = size > 0 ? { root: dirname(path), path: rawPath(basename(path)), offset: 0 } : undefined;
  const meta = {
    ...bareMeta,
    path: rawPath(fileName),
    type: 'file',
    mode: 0o600,
    size,
    mtimeSec: modifiedSec ?? 0,
  } as const;
  return (await commitDraft(io.store, io.lease, [{ ...meta, ...(content && { content }) }])).layer;
}

/** What is wrong with an archive is said with its name. */
async function importNamed(
  bytes: AsyncIterable<Uint8Array>,
  name: string,
  { store, lease }: Pick<RemoteIo, 'store' | 'lease'>,
): Promise<Layer> {
  try {
    return await importLayer(store, lease, bytes);
  } catch (error) {
    if (!(error instanceof StoreError) || !/^(TAR|LAYER)_/.test(error.code)) throw error;
    throw new BuildError('CONTEXT_ARCHIVE_INVALID', {
      message: `${name} can't be used as a context: ${error.message.replace(/^the layer/, 'the archive')}`,
      hint: 'is it complete, and a tar?',
      cause: error,
    });
  }
}

function fetched(layer: Layer): FetchedContext {
  const times = scanTar(layer.tarPath).flatMap(({ type, mtimeSec }) => (type === 'file' ? [mtimeSec] : []));
  return { layers: [layer], epochSec: times.length === 0 ? null : times.reduce((a, b) => Math.max(a, b)) };
}

export const headBytes = 512;

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

const magics = ['1f8b08', '425a68', 'fd377a585a00', '28b52ffd'].map((hex) => Buffer.from(hex, 'hex'));

/** Compressed, or a tar: no text begins so. @see POSIX pax, "ustar Header Block" */
export function isArchive(head: Buffer): boolean {
  if (magics.some((magic) => head.subarray(0, magic.length).equals(magic))) return true;
  if (head.length < headBytes) return false;
  const stored = Number.parseInt(head.toString('latin1', 148, 156).replaceAll('\0', ' ').trim(), 8);
  const sum = head.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0);
  return stored === sum;
}
