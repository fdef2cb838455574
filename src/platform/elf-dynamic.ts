// What an ELF file asks its loader for. @see System V ABI chapter 5 "Dynamic Section", ld.so(8)
import { byteView, elfHeadBytes, type FileRange, readElf, readProgramHeaders } from './elf.js';

export interface ElfDynamic {
  /** DT_NEEDED, in order. */
  readonly needed: readonly string[];
  /** Directories to search before the cache; DT_RPATH also serves the libraries it leads to. `$ORIGIN` is not expanded. */
  readonly rpath: readonly string[];
  readonly runpath: readonly string[];
}

/** Reads part of a file; shorter at its end. */
export type ReadRange = (range: FileRange) => Buffer;

const nothing: ElfDynamic = { needed: [], rpath: [], runpath: [] };
/** No loader table is larger in practice; a file that claims so is not believed. */
const tableLimit = 16 * 1024 * 1024;

/** Null if it is no ELF file; no names if it is static or damaged. */
export function readDynamic(read: ReadRange): ElfDynamic | null {
  const head = read({ offset: 0, size: elfHeadBytes });
  const facts = readElf(head);
  if (facts === null) return null;
  if (facts.dynamicAt === null) return nothing;
  const tags = readTags(read(limited(facts.dynamicAt)), facts.endian === 'little', facts.bits);
  const strings = readStrings(head, tags, read);
  const texts = (tag: number): string[] =>
    tags.flatMap((t) => (t.tag === tag && t.value < strings.length ? [textAt(strings, t.value)] : []));
  const paths = (tag: number): string[] =>
    texts(tag)
      .flatMap((list) => list.split(':'))
      .filter((dir) => dir !== '');
  return { needed: texts(dtNeeded).filter((name) => name !== ''), rpath: paths(dtRpath), runpath: paths(dtRunpath) };
}

function textAt(strings: Buffer, at: number): string {
  return strings.toString('latin1', at, strings.indexOf(0, at));
}

const [dtNeeded, dtStrtab, dtStrsz, dtRpath, dtRunpath] = [1, 5, 10, 15, 29];

interface Tag {
  readonly tag: number;
  readonly value: number;
}

function readTags(table: Buffer, little: boolean, bits: 32 | 64): Tag[] {
  const view = byteView(table, little);
  const size = bits / 8;
  const tags: Tag[] = [];
  for (let at = 0; view.has(at, 2 * size); at += 2 * size) {
    const tag = view.word(at, bits);
    if (tag === 0) break;
    tags.push({ tag, value: view.word(at + size, bits) });
  }
  return tags;
}

/** DT_STRTAB is an address: the segment that is loaded there says where it lies in the file. */
function readStrings(head: Buffer, tags: readonly Tag[], read: ReadRange): Buffer {
  const address = tags.find((t) => t.tag === dtStrtab)?.value;
  const size = tags.find((t) => t.tag === dtStrsz)?.value;
  if (address === undefined || size === undefined) return Buffer.alloc(0);
  const segment = readProgramHeaders(head).find(
    (s) => s.type === 1 && address >= s.address && address < s.address + s.size,
  );
  if (segment === undefined) return Buffer.alloc(0);
  return read(limited({ offset: segment.offset + address - segment.address, size }));
}

function limited({ offset, size }: FileRange): FileRange {
  return Number.isSafeInteger(offset) ? { offset, size: Math.min(size, tableLimit) } : { offset: 0, size: 0 };
}
