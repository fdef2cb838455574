// apply and remove: requests and replies, in the formats of native/batch/apply.c and remove.c.
import { openReply, RequestWriter, RootTable } from './packed.js';
import type { RawPath } from './raw-path.js';
import type { ApplyMeta, ApplyOp, ContentRef } from './types.js';

const LITERAL = 0xffffffff;
const DIR = 1;
const FIFO = 2;
const FILE = 3;
const SYMLINK = 4;
const LINK = 5;
const CHAR = 6;
const BLOCK = 7;
const WHITEOUT = 8;

/** @param dir absolute path that does not exist yet, in a directory that does */
export function encodeApply(dir: string, ops: readonly ApplyOp[]): Buffer {
  const roots = new RootTable();
  for (const op of ops) if (op.op === 'file' && !('bytes' in op.content)) roots.number(op.content.root);
  const out = new RequestWriter(0, 4096 + ops.length * 128);
  out.string(dir);
  roots.write(out);
  out.u32(ops.length);
  for (const op of ops) writeOp(out, roots, op);
  return out.finish();
}

function writeOp(out: RequestWriter, roots: RootTable, op: ApplyOp): void {
  out.u32(kindOf(op));
  out.rawString(op.path);
  if (op.op !== 'link' && op.op !== 'whiteout') writeMeta(out, op.meta);
  if (op.op === 'file') writeContent(out, roots, op.size, op.content);
  if (op.op === 'link' || op.op === 'symlink') out.rawString(op.target);
  if (op.op === 'device') {
    out.u32(op.major);
    out.u32(op.minor);
  }
}

function kindOf(op: ApplyOp): number {
  switch (op.op) {
    case 'dir':
      return DIR;
    case 'fifo':
      return FIFO;
    case 'file':
      return FILE;
    case 'symlink':
      return SYMLINK;
    case 'link':
      return LINK;
    case 'device':
      return op.block ? BLOCK : CHAR;
    case 'whiteout':
      return WHITEOUT;
  }
}

function writeMeta(out: RequestWriter, meta: ApplyMeta): void {
  out.u32(meta.mode);
  out.u32(meta.uid);
  out.u32(meta.gid);
  out.u32(meta.mtimeNsec);
  out.f64(meta.mtimeSec);
  out.u32(meta.xattrs.length);
  for (const { name, value } of meta.xattrs) {
    out.rawString(name);
    out.u32(value.length);
    out.bytes(value);
  }
}

function writeContent(out: RequestWriter, roots: RootTable, size: number, content: ContentRef): void {
  if ('bytes' in content && content.bytes.length !== size) {
    throw new Error(`a file of ${size} bytes was given ${content.bytes.length} bytes of content`);
  }
  out.f64(size);
  if ('bytes' in content) {
    out.u32(LITERAL);
    out.bytes(content.bytes);
    return;
  }
  out.u32(roots.number(content.root));
  out.f64(content.offset);
  out.rawString(content.path);
  // No pieces at all is a file of zeros, which an empty piece says as well as none can.
  const pieces = content.pieces?.length === 0 ? ([[0, 0]] as const) : (content.pieces ?? []);
  out.u32(pieces.length);
  for (const [offset, length] of pieces) {
    out.f64(offset);
    out.f64(length);
  }
}

/**
 * @param dir the target directory, for messages
 * @returns devices (and names of them) that were left out, since a user namespace may not make them
 * @throws SystemError READ_FAILED, FILE_CHANGED, WRITE_FAILED, DISK_FULL; the directory is left as far as it came
 */
export function decodeApply(reply: Buffer, dir?: string): RawPath[] {
  const bytes = openReply(reply, dir);
  const skipped = new Array<RawPath>(bytes.readUInt32LE(0));
  let at = 8;
  for (let i = 0; i < skipped.length; i++) {
    const end = at + 4 + bytes.readUInt32LE(at);
    skipped[i] = bytes.toString('latin1', at + 4, end) as RawPath;
    at = end + 1;
  }
  return skipped;
}

/** @param dirs absolute paths; missing ones are fine */
export function encodeRemove(dirs: readonly string[]): Buffer {
  const out = new RequestWriter(0);
  out.u32(dirs.length);
  for (const dir of dirs) out.string(dir);
  return out.finish();
}

/** @throws SystemError REMOVE_FAILED */
export function decodeRemove(reply: Buffer): void {
  openReply(reply);
}
