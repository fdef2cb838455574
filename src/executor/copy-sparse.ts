import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { type ContentRef, rawPath } from '#native';
import type { TarEntry } from '#store';

type Sparse = NonNullable<TarEntry['sparse']> & { readonly dataOffset: number };

const chunkBytes = 1 << 20;

/** Writes a sparse tar member's file to `path`, holes as holes: only whole files can become part of a layer. */
export function materializeSparse(tarPath: string, sparse: Sparse, path: string): ContentRef {
  const from = openSync(tarPath, 'r');
  const to = openSync(path, 'wx', 0o600);
  try {
    let at = sparse.dataOffset;
    const buffer = Buffer.alloc(chunkBytes);
    for (const [offset, length] of sparse.pieces) {
      for (let done = 0; done < length; ) {
        const read = readSync(from, buffer, 0, Math.min(chunkBytes, length - done), at + done);
        if (read === 0) throw new Error(`${tarPath} is shorter than its headers say`);
        writeSync(to, buffer, 0, read, offset + done);
        done += read;
      }
      at += length;
    }
    ftruncateSync(to, sparse.realSize);
  } finally {
    closeSync(from);
    closeSync(to);
  }
  const root = path.slice(0, path.lastIndexOf('/'));
  return { root, path: rawPath(path.slice(root.length + 1)), offset: 0 };
}
