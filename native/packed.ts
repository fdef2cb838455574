// The packed byte strings of native/batch (see batch.h): writing requests, opening replies.
import { errnoName, errnoText } from './errno.js';
import { SystemError } from './errors.js';

const MAGIC = 0x31425354; // "TSB1"
const HEAD_BYTES = 32;
const SHORT_TEXT = 128;

const REQUEST = 1;
const MEMORY = 2;
const STAGES: Record<number, { readonly code: string; readonly doing: string }> = {
  3: { code: 'WALK_FAILED', doing: 'could not list' },
  4: { code: 'READ_FAILED', doing: 'could not read' },
  5: { code: 'FILE_CHANGED', doing: 'changed while it was being read:' },
  6: { code: 'WRITE_FAILED', doing: 'could not write' },
  7: { code: 'REMOVE_FAILED', doing: 'could not remove' },
  8: { code: 'WRITE_FAILED', doing: 'could not create or enter' },
};

/** A request being written; starts with the magic and the flags. */
export class RequestWriter {
  #bytes: Buffer;
  #view: DataView;
  #length = 0;

  constructor(flags: number, sizeHint = 256) {
    this.#bytes = Buffer.allocUnsafeSlow(sizeHint + 16);
    this.#view = new DataView(this.#bytes.buffer);
    this.u32(MAGIC);
    this.u32(flags);
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** Bytes without a length before them. */
  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** One character a byte, without a length before it or NUL after it. */
  text(text: string): void {
    const { length } = text;
    this.#reserve(length);
    const bytes = this.#bytes;
    const at = this.#length;
    // For short texts, and there are many, a loop is several times faster than a call out of JavaScript.
    if (length < SHORT_TEXT) for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
    else bytes.write(text, at, 'latin1');
    this.#length += length;
  }

  /** A raw path (one character a byte) and NUL, without a length before them. */
  latin1(text: string): void {
    this.text(text);
    this.#reserve(1);
    this.#bytes[this.#length++] = 0;
  }

  /** Length, the bytes of a raw path, NUL. */
  rawString(text: string): void {
    this.u32(text.length);
    this.latin1(text);
  }

  /** Length, the UTF-8 of `text`, NUL: a path of ours. */
  string(text: string): void {
    this.rawString(Buffer.from(text, 'utf8').toString('latin1'));
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Overwrites what stands at `at`. */
  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  patchF64(at: number, value: number): void {
    this.#view.setFloat64(at, value, true);
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#length + length));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Roots of file references, each once, in the order they were met. */
export class RootTable {
  readonly #numbers = new Map<string, number>();
  #lastRoot: string | undefined;
  #lastNumber = 0;

  number(root: string): number {
    if (root === this.#lastRoot) return this.#lastNumber;
    let number = this.#numbers.get(root);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(root, number);
    }
    this.#lastRoot = root;
    this.#lastNumber = number;
    return number;
  }

  write(out: RequestWriter): void {
    out.u32(this.#numbers.size);
    for (const root of this.#numbers.keys()) out.string(root);
  }
}

/**
 * The payload of a reply, 8-aligned in its ArrayBuffer.
 *
 * @param where what the paths in failures are relative to, for the message
 * @throws SystemError what the batch reported
 */
export function openReply(reply: Buffer, where?: string): Buffer {
  if (reply.length < HEAD_BYTES || reply.readUInt32LE(0) !== MAGIC || reply.readDoubleLE(16) !== reply.length) {
    throw new SystemError('NATIVE_FAILED', {
      message: `tsbuild's native helper ended without an answer (${reply.length} bytes)`,
      hint: 'look for an out-of-memory kill in the system log, then run again',
    });
  }
  const errno = reply.readUInt32LE(4);
  if (errno !== 0) throw failure(errno, reply.readUInt32LE(8), reply.toString('utf8', HEAD_BYTES), where);
  const payload = reply.subarray(HEAD_BYTES);
  return payload.byteOffset % 8 === 0 ? payload : aligned(payload);
}

function aligned(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

function failure(errno: number, stage: number, object: string, where: string | undefined): Error {
  const name = errnoName(errno);
  if (stage === REQUEST) return new Error(`native batch refused its request: ${object}`);
  if (stage === MEMORY) {
    return new SystemError('OUT_OF_MEMORY', { message: 'not enough memory for a list of files', errno: name });
  }
  const { code, doing } = STAGES[stage] ?? { code: 'NATIVE_FAILED', doing: `stage ${stage} failed:` };
  const full = where && !object.startsWith('/') ? (object === '.' ? where : `${where}/${object}`) : object;
  if (name === 'ENOSPC' || name === 'EDQUOT') {
    return new SystemError('DISK_FULL', {
      message: `no space left${name === 'EDQUOT' ? ' within the disk quota' : ''} to write ${full} (${name})`,
      hint: 'free some space, for example with `tsbuild gc`, or put the store on a larger disk with --store',
      errno: name,
    });
  }
  const message =
    code === 'FILE_CHANGED' ? `${full} ${doing.slice(0, -1)}` : `${doing} ${full}: ${errnoText(errno)} (${name})`;
  return new SystemError(code, { message, hint: HINTS[code] ?? HINTS[name], errno: name });
}

const HINTS: Record<string, string> = {
  FILE_CHANGED: 'stop whatever writes to it, then run again',
  EACCES: 'check its permissions and those of the directories above it',
  EMFILE: 'raise the limit of open files: ulimit -n',
  ENFILE: 'raise the system-wide limit of open files: sysctl fs.file-max',
  EROFS: 'put it on a filesystem that can be written to',
  EBUSY: 'something is mounted there; unmount it first',
  EIO: 'the disk may be failing: look into the kernel log (dmesg)',
  EXDEV: 'something is mounted there; unmount it first',
};
