// Parts of a tar as tests write them, and the bytes that they make.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Assembly, type RawPath } from '#native';
import { decodeAssemble, encodeAssemble } from '../../native/batch-codec.js';
import { nativeFile } from '../../native/locate.js';

export type Part =
  | { readonly bytes: Uint8Array }
  | { readonly root: string; readonly path: RawPath; readonly offset: number; readonly size: number };

export function assemblyOf(parts: readonly Part[]): Assembly {
  const assembly = new Assembly();
  for (const part of parts) {
    if ('bytes' in part) assembly.bytes(part.bytes);
    else assembly.file(part.root, part.path, part.offset, part.size);
  }
  return assembly;
}

/** Puts the parts together; once only for each Assembly. */
export function assembled(parts: Assembly): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'tsbuild-assembled-'));
  try {
    const output = join(dir, 'out');
    const request = encodeAssemble({ parts, output, heads: false, fileDigests: false });
    decodeAssemble(spawnSync(nativeFile('tsbuild-launcher'), ['assemble'], { input: request }).stdout);
    return readFileSync(output);
  } finally {
    rmSync(dir, { recursive: true });
  }
}
