// assemble and hash: requests and replies, in the formats of native/batch/assemble.c and hash.c.
import { openReply, RequestWriter, RootTable } from './packed.js';
import type { RawPath } from './raw-path.js';
import type { AssembleRequest, AssembleResult } from './types.js';

const DIGEST_BYTES = 32;

/** A whole file; `path` is resolved beneath `root`, no symlink is followed at its end. */
export interface FileRef {
  readonly root: string;
  readonly path: RawPath;
}

export function encodeAssemble({ parts, output, heads, fileDigests }: AssembleRequest): Buffer {
  const flags = (heads ? 1 : 0) | (fileDigests ? 2 : 0) | (output === null ? 0 : 4);
  return parts.finish(flags, output);
}

/** @throws SystemError READ_FAILED, FILE_CHANGED, WRITE_FAILED, DISK_FULL; the output is gone then */
export function decodeAssemble(reply: Buffer): AssembleResult {
  const bytes = openReply(reply);
  const [parts, digests, heads] = [40, 44, 48].map((at) => bytes.readUInt32LE(at)) as [number, number, number];
  const fileDigests = digests === 0 ? [] : new Array<string>(parts).fill('');
  let at = 56;
  for (let i = 0; i < digests; i++) {
    fileDigests[bytes.readUInt32LE(at)] = bytes.toString('hex', at + 4, at + 4 + DIGEST_BYTES);
    at += 4 + DIGEST_BYTES;
  }
  const headByPart = new Map<number, Buffer>();
  for (let i = 0; i < heads; i++) {
    const end = at + 8 + bytes.readUInt32LE(at + 4);
    headByPart.set(bytes.readUInt32LE(at), bytes.subarray(at + 8, end));
    at = end;
  }
  return { size: bytes.readDoubleLE(0), sha256: bytes.toString('hex', 8, 40), heads: headByPart, fileDigests };
}

export function encodeHash(files: readonly FileRef[]): Buffer {
  const roots = new RootTable();
  for (const file of files) roots.number(file.root);
  const out = new RequestWriter(0, files.length * 64);
  roots.write(out);
  out.u32(files.length);
  for (const file of files) {
    out.u32(roots.number(file.root));
    out.rawString(file.path);
  }
  return out.finish();
}

/** Lower-case hex SHA-256 of each file. @throws SystemError READ_FAILED, FILE_CHANGED */
export function decodeHash(reply: Buffer): string[] {
  const bytes = openReply(reply);
  const digests = new Array<string>(bytes.readUInt32LE(0));
  for (let i = 0; i < digests.length; i++) {
    digests[i] = bytes.toString('hex', 8 + i * DIGEST_BYTES, 8 + (i + 1) * DIGEST_BYTES);
  }
  return digests;
}
