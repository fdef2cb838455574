// What the head of an ELF file says about who can execute it. Total: any bytes give facts or null, never an exception.
// Offsets: System V ABI, chapter 4 and 5; notes: glibc's elf.h; x86 properties: x86-64 psABI, "GNU property".

export interface ElfFacts {
  readonly bits: 32 | 64;
  readonly endian: 'little' | 'big';
  /** e_machine. */
  readonly machine: number;
  /** e_flags: ARM EABI and float ABI, MIPS and RISC-V ABI, PowerPC ABI version. */
  readonly flags: number;
  /** EI_OSABI. */
  readonly osabi: number;
  readonly type: 'executable' | 'shared' | 'relocatable' | 'core' | 'other';
  /** PT_INTERP's path where it lies within the head. */
  readonly interpreter: string | null;
  /** Where PT_INTERP and PT_DYNAMIC lie in the file. */
  readonly interpreterAt: FileRange | null;
  readonly dynamicAt: FileRange | null;
  /** Oldest kernel that its C library accepts ('3.2.0'), from the GNU ABI note. */
  readonly kernel: string | null;
  /** x86-64 ISA level that it declares to need: 0 (says nothing), 1 (baseline) to 4. */
  readonly isaLevel: number;
}

export interface FileRange {
  readonly offset: number;
  readonly size: number;
}

/** Bytes from the start of a file that `readElf` wants to see; program headers and notes lie there in practice. */
export const elfHeadBytes = 4096;

export function readElf(head: Buffer): ElfFacts | null {
  if (!isElf(head)) return null;
  const [bits, endian] = [head[4] === 1 ? 32 : 64, head[5] === 1 ? 'little' : 'big'] as const;
  if ((head[4] !== 1 && head[4] !== 2) || (head[5] !== 1 && head[5] !== 2)) return null;
  if (head.length < (bits === 64 ? 64 : 52)) return null;
  const view = byteView(head, endian === 'little');
  const layout = bits === 64 ? layout64 : layout32;
  const header = {
    bits,
    endian,
    machine: view.u16(18),
    flags: view.u32(layout.flags),
    osabi: head[7]!,
    type: fileTypes[view.u16(16)] ?? 'other',
  };
  return { ...header, ...readSegments(head, view, bits) };
}

export function isElf(head: Buffer): boolean {
  return head.length >= 20 && head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
}

type Segments = Pick<ElfFacts, 'interpreter' | 'interpreterAt' | 'dynamicAt' | 'kernel' | 'isaLevel'>;

function readSegments(head: Buffer, view: ByteView, bits: 32 | 64): Segments {
  let facts: Segments = { interpreter: null, interpreterAt: null, dynamicAt: null, kernel: null, isaLevel: 0 };
  for (const { type, offset, size } of readProgramHeaders(head)) {
    const range = { offset, size };
    if (type === 2) facts = { ...facts, dynamicAt: range };
    if (type === 3) facts = { ...facts, interpreterAt: range, interpreter: textAt(view, range) };
    if (type === 4) facts = { ...facts, ...readNotes(view, range, bits) };
  }
  return facts;
}

export interface ProgramHeader extends FileRange {
  /** p_type: 1 load, 2 dynamic, 3 interpreter, 4 note. */
  readonly type: number;
  /** p_vaddr. */
  readonly address: number;
}

/** The program headers that lie within the head of a file for which `readElf` gives facts. */
export function readProgramHeaders(head: Buffer): ProgramHeader[] {
  const bits = head[4] === 1 ? 32 : 64;
  const view = byteView(head, head[5] === 1);
  const layout = bits === 64 ? layout64 : layout32;
  const headers: ProgramHeader[] = [];
  const entrySize = view.u16(layout.phentsize);
  if (entrySize < layout.segmentSize) return headers;
  const tableOffset = view.word(layout.phoff, bits);
  const count = view.u16(layout.phnum);
  for (let i = 0; i < count; i++) {
    const at = tableOffset + i * entrySize;
    if (!view.has(at, layout.segmentSize)) break;
    headers.push({
      type: view.u32(at),
      offset: view.word(at + layout.segmentOffset, bits),
      address: view.word(at + layout.segmentAddress, bits),
      size: view.word(at + layout.segmentFileSize, bits),
    });
  }
  return headers;
}

function textAt(view: ByteView, { offset, size }: FileRange): string | null {
  if (size === 0 || size > elfHeadBytes || !view.has(offset, size)) return null;
  return view.text(offset, size);
}

/** Notes are padded to 4 bytes, in 64-bit property sections to 8. */
function readNotes(view: ByteView, { offset, size }: FileRange, bits: 32 | 64): Partial<Segments> {
  const found: { -readonly [K in keyof Segments]?: Segments[K] } = {};
  const end = offset + size;
  let at = offset;
  while (at + 12 <= end && view.has(at, 12)) {
    const [nameSize, valueSize, type] = [view.u32(at), view.u32(at + 4), view.u32(at + 8)];
    const valueAt = at + 12 + align(nameSize, 4);
    if (nameSize > 256 || valueAt + valueSize > end || !view.has(valueAt, valueSize)) break;
    if (view.text(at + 12, nameSize) === 'GNU') {
      if (type === 1 && valueSize >= 16 && view.u32(valueAt) === 0) {
        found.kernel = [4, 8, 12].map((field) => view.u32(valueAt + field)).join('.');
      }
      if (type === 5) found.isaLevel = isaLevelNeeded(view, { offset: valueAt, size: valueSize }, bits);
    }
    at = valueAt + align(valueSize, type === 5 && bits === 64 ? 8 : 4);
  }
  return found;
}

/** GNU_PROPERTY_X86_ISA_1_NEEDED: bit 0 baseline, bits 1 to 3 the levels x86-64-v2 to v4. */
function isaLevelNeeded(view: ByteView, { offset, size }: FileRange, bits: 32 | 64): number {
  const end = offset + size;
  for (let at = offset; at + 8 <= end; ) {
    const [type, dataSize] = [view.u32(at), view.u32(at + 4)];
    if (at + 8 + dataSize > end) break;
    if (type === 0xc0008002 && dataSize === 4) return Math.min(4, 32 - Math.clz32(view.u32(at + 8)));
    at += 8 + align(dataSize, bits === 64 ? 8 : 4);
  }
  return 0;
}

function align(size: number, unit: number): number {
  return Math.ceil(size / unit) * unit;
}

type ByteView = ReturnType<typeof byteView>;

/** Reads in the file's byte order. Callers check `has` first; 64-bit values beyond 2^53 become a number no file reaches. */
export function byteView(bytes: Buffer, little: boolean) {
  const u32 = (at: number): number => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const u64 = (at: number): number => Number(little ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
  return {
    has: (at: number, size: number): boolean => at + size <= bytes.length,
    u16: (at: number): number => (little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at)),
    u32,
    word: (at: number, bits: 32 | 64): number => (bits === 64 ? u64(at) : u32(at)),
    /** Up to the first NUL. */
    text: (at: number, size: number): string => {
      const nul = bytes.subarray(at, at + size).indexOf(0);
      return bytes.toString('latin1', at, nul < 0 ? at + size : at + nul);
    },
  };
}

const fileTypes: Partial<Record<number, ElfFacts['type']>> = {
  1: 'relocatable',
  2: 'executable',
  3: 'shared',
  4: 'core',
};

const layout32 = {
  phoff: 28,
  flags: 36,
  phentsize: 42,
  phnum: 44,
  segmentSize: 32,
  segmentOffset: 4,
  segmentAddress: 8,
  segmentFileSize: 16,
};
const layout64 = {
  phoff: 32,
  flags: 48,
  phentsize: 54,
  phnum: 56,
  segmentSize: 56,
  segmentOffset: 8,
  segmentAddress: 16,
  segmentFileSize: 32,
};
