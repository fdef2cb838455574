// The parts of a tar to assemble, packed while they are added: in the format of native/batch/assemble.c.
import { RequestWriter, RootTable } from './packed.js';
import type { RawPath } from './raw-path.js';

const LITERAL = 0xffffffff;
const MEMBER = 0xfffffffe;
const ZEROS = 0xfffffffd;
/** Magic, flags, count and length stand before the parts. */
const HEAD_BYTES = 20;

/** What a tar member's header says, besides its name. */
interface MemberMeta {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  readonly linkTarget: RawPath;
  readonly devMajor: number;
  readonly devMinor: number;
}

/** How it says that. Texts have one character a byte. */
interface MemberHeader {
  /** Of all its blocks, the extended header included: they are refused if they come to anything else. */
  readonly bytes: number;
  /** The code of the typeflag character. */
  readonly typeFlag: number;
  readonly name: string;
  /** Bytes of the name that go to the prefix field; the slash after them is dropped. */
  readonly prefixLength: number;
  /** Extended records that go before and after that of the time, which the header gets on its own where it needs one. */
  readonly before: string;
  readonly after: string;
}

/** Adds parts one by one; each is numbered from 0 in the order they come. */
export class Assembly {
  readonly #out: RequestWriter;
  readonly #roots = new RootTable();
  #count = 0;

  /** @param sizeHint bytes of the packed parts, as a guess */
  constructor(sizeHint = 4096) {
    this.#out = new RequestWriter(0, HEAD_BYTES + sizeHint);
    this.#out.u32(0);
    this.#out.f64(0);
  }

  bytes(bytes: Uint8Array): number {
    this.#out.u32(LITERAL);
    this.#out.u32(bytes.length);
    this.#out.bytes(bytes);
    return this.#count++;
  }

  zeros(length: number): number {
    this.#out.u32(ZEROS);
    this.#out.f64(length);
    return this.#count++;
  }

  /** The header blocks of a tar member; its content and padding are parts of their own. */
  member(meta: MemberMeta, header: MemberHeader): number {
    const out = this.#out;
    out.u32(MEMBER);
    out.u32(header.bytes);
    out.u32(header.typeFlag);
    out.u32(meta.mode);
    out.u32(meta.uid);
    out.u32(meta.gid);
    out.u32(meta.devMajor);
    out.u32(meta.devMinor);
    out.u32(meta.mtimeNsec);
    out.u32(header.prefixLength);
    out.u32(header.name.length);
    out.u32(meta.linkTarget.length);
    out.u32(header.before.length);
    out.u32(header.after.length);
    out.f64(meta.size);
    out.f64(meta.mtimeSec);
    out.text(header.name);
    out.text(meta.linkTarget);
    out.text(header.before);
    out.text(header.after);
    return this.#count++;
  }

  /** `size` bytes of a file beneath `root`; from offset 0 they must be all of it. */
  file(root: string, path: RawPath, offset: number, size: number): number {
    this.#out.u32(this.#roots.number(root));
    this.#out.u32(path.length);
    this.#out.f64(offset);
    this.#out.f64(size);
    this.#out.latin1(path);
    return this.#count++;
  }

  /** The whole request; nothing can be added afterwards. */
  finish(flags: number, output: string | null): Buffer {
    const out = this.#out;
    out.patchU32(4, flags);
    out.patchU32(8, this.#count);
    out.patchF64(12, out.length - HEAD_BYTES);
    out.string(output ?? '');
    this.#roots.write(out);
    return out.finish();
  }
}
