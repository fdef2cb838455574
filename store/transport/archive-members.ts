// A tar as a folder of files: where each member's bytes lie. Archives that are compressed or come through a pipe are first
// written, unpacked, into a directory for that.
import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { dirname, posix } from 'node:path';
import { Readable } from 'node:stream';
import { displayPath } from '#native';
import { decompressWithin, openGrowthLimit } from '../content/growth-limit.js';
import { StoreError } from '../errors.js';
import type { TarEntry } from '../format/entry.js';
import { scanTar } from '../format/tar-scan.js';
import { maxDocumentBytes } from '../image/strict-json.js';

/** Where unfinished files go: a lease, for one. */
interface Scratch {
  path(name: string): string;
  /** See StoreOptions. */
  readonly maxLayerBytes?: number | undefined;
}

export interface Archive {
  /** For messages: its path, or 'the archive'. */
  readonly name: string;
  has(member: string): boolean;
  /** Bytes of a member. @throws StoreError ARCHIVE_INVALID */
  size(member: string): number;
  /** A small member. @throws StoreError ARCHIVE_INVALID */
  read(member: string): Promise<Buffer>;
  /** @throws StoreError ARCHIVE_INVALID */
  stream(member: string): AsyncIterable<Uint8Array>;
}

/** @throws StoreError ARCHIVE_NOT_FOUND, ARCHIVE_INVALID, DECOMPRESSOR_MISSING; TAR_* */
export async function openArchive(scratch: Scratch, source: string | Readable): Promise<Archive> {
  const name = typeof source === 'string' ? source : 'the archive';
  const path = await plainTar(scratch, source, name);
  const members = new Map<string, TarEntry>();
  // The later of two members of one name is what every extractor leaves.
  for (const entry of scanArchive(path, name)) members.set(displayPath(entry.path), entry);
  return {
    name,
    has: (member) => members.has(cleanName(member)),
    size: (member) => fileMember(members, member, name).size,
    async read(member) {
      const { dataOffset, size } = fileMember(members, member, name);
      if (size > maxDocumentBytes)
        throw invalid(name, `its member ${quoted(member)} is larger than ${maxDocumentBytes} bytes`);
      const file = await open(path, 'r');
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, dataOffset);
        return buffer.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    },
    stream(member) {
      const { dataOffset, size } = fileMember(members, member, name);
      if (size === 0) return Readable.from([]);
      return createReadStream(path, { start: dataOffset, end: dataOffset + size - 1, highWaterMark: 1 << 20 });
    },
  };
}

function scanArchive(path: string, name: string): TarEntry[] {
  try {
    return scanTar(path);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new StoreError(error.code, { message: `${name}: ${error.message}`, hint: error.hint, cause: error });
  }
}

/** Path of an uncompressed, seekable copy: the file itself where it is one. */
async function plainTar(scratch: Scratch, source: string | Readable, name: string): Promise<string> {
  if (typeof source !== 'string') return spool(scratch, source, name);
  const facts = await stat(source).catch((cause) => {
    throw new StoreError('ARCHIVE_NOT_FOUND', {
      message: cause.code === 'ENOENT' ? `there is no file ${source}` : `${source}: ${cause.message}`,
      hint: 'name the archive file',
      cause,
    });
  });
  if (facts.isDirectory()) {
    throw new StoreError('ARCHIVE_INVALID', {
      message: `${source} is a directory`,
      hint: `if it is an OCI image layout, name it as oci-layout://${source}`,
    });
  }
  if (!facts.isFile()) return spool(scratch, createReadStream(source), name);
  const file = await open(source, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0);
    if (!isCompressed(buffer.subarray(0, bytesRead))) return source;
  } finally {
    await file.close();
  }
  return spool(scratch, createReadStream(source, { highWaterMark: 1 << 20 }), name);
}

async function spool(scratch: Scratch, source: Readable, name: string): Promise<string> {
  const path = scratch.path('archive');
  const chunks = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < 8) {
    const { value, done } = await chunks.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  const whole = (async function* () {
    yield head;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value as Buffer;
  })();
  const file = await open(path, 'wx', 0o600);
  try {
    const limit = openGrowthLimit(dirname(path), scratch.maxLayerBytes);
    const bytes = isCompressed(head) ? decompressWithin(limit, whole) : whole;
    for await (const chunk of bytes) await file.writeFile(chunk);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'LAYER_COMPRESSION_DAMAGED') throw error;
    throw invalid(name, `its compression is damaged: ${error.message}`, error);
  } finally {
    await file.close();
    source.destroy();
  }
  return path;
}

/** gzip, zstd, xz or bzip2. */
function isCompressed(head: Buffer): boolean {
  return /^(1f8b|28b52ffd|fd377a58|425a68)/.test(head.toString('hex', 0, 8));
}

/** Follows links: docker save wrote a layer that occurs twice as a symlink to the first. */
function fileMember(members: ReadonlyMap<string, TarEntry>, member: string, name: string): TarEntry {
  let path = cleanName(member);
  for (let hop = 0; hop < 8; hop += 1) {
    const entry = members.get(path);
    if (entry === undefined) break;
    const target = displayPath(entry.linkTarget);
    if (entry.type === 'symlink') path = cleanName(posix.join(posix.dirname(path), target));
    else if (entry.type === 'hardlink') path = target;
    else if (entry.type !== 'file' || entry.sparse !== undefined)
      throw invalid(name, `its member ${quoted(member)} is no plain file`);
    else return entry;
  }
  throw invalid(name, `it has no member ${quoted(member)}`);
}

function cleanName(member: string): string {
  return posix.normalize(member).replace(/^(\.\/|\/)+/, '');
}

function quoted(member: string): string {
  return JSON.stringify(member.slice(0, 200));
}

export function invalid(name: string, problem: string, cause?: unknown): StoreError {
  return new StoreError('ARCHIVE_INVALID', {
    message: `${name}: ${problem}`,
    hint: "it should be what 'docker save', 'podman save' or 'tsbuild save' writes",
    cause,
  });
}
