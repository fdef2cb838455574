// Members → the bytes of a tar. Only layers need our own encoder: an archive around them is a plain tar, and tar-stream's is.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Header, Pack } from 'tar-stream';
import { otherDigest, readFailure } from '../damage.js';
import type { Digest } from '../words.js';

/** A directory, a small file, or a stored blob. */
export type ArchiveMember = 'dir' | Buffer | { readonly path: string; readonly size: number; readonly digest: Digest };

/**
 * Deterministic: in order of names (which are ASCII), without owners and times.
 *
 * @throws StoreError BLOB_DAMAGED when a blob on the disk is not what its digest says
 */
export async function* packMembers(members: ReadonlyMap<string, ArchiveMember>): AsyncGenerator<Uint8Array> {
  const { pack } = await import('tar-stream');
  const tar = pack();
  void fill(tar, members);
  yield* tar as AsyncIterable<Uint8Array>;
}

/** A failure reaches whoever reads `tar`; where the reader leaves, the entry under way fails, and this ends too. */
async function fill(tar: Pack, members: ReadonlyMap<string, ArchiveMember>): Promise<void> {
  try {
    for (const [name, member] of [...members].sort(([a], [b]) => (a < b ? -1 : 1))) {
      await pipeline(contentOf(member), tar.entry(headerOf(name, member)));
    }
    tar.finalize();
  } catch (error) {
    tar.destroy(error as Error);
  }
}

function headerOf(name: string, member: ArchiveMember): Partial<Header> & Pick<Header, 'name'> {
  const plain = { uid: 0, gid: 0, mtime: new Date(0) };
  if (member === 'dir') return { ...plain, name: `${name}/`, type: 'directory', mode: 0o755 };
  const size = 'path' in member ? member.size : member.length;
  return { ...plain, name, type: 'file', mode: 0o644, size };
}

async function* contentOf(member: ArchiveMember): AsyncGenerator<Uint8Array> {
  if (member === 'dir') return;
  if (!('path' in member)) return yield member;
  const { path, size, digest } = member;
  const hash = createHash('sha256');
  const range = { end: size - 1, highWaterMark: 1 << 20 };
  try {
    for await (const chunk of createReadStream(path, range) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      yield chunk;
    }
  } catch (error) {
    throw readFailure('blob', digest, error);
  }
  const found = `sha256:${hash.digest('hex')}`;
  if (found !== digest) throw otherDigest('blob', digest, found);
}
