// Whether this machine's kernel executes a file: natively, as another ABI of the same family, or by a registered emulator.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Platform } from '#store';
import { findEmulator } from './binfmt.js';
import type { ElfFacts } from './elf.js';
import { elfArchitecture } from './machine.js';

export type Executability = 'native' | 'compat' | 'emulated' | 'no';

/**
 * @param head first bytes of the file, which emulators are matched by; without it none is considered
 * @returns 'emulated' only for handlers whose interpreter the kernel already holds (flag F), so that it works in any root
 */
export function canExecuteHere(facts: ElfFacts, host: Platform, head?: Buffer): Executability {
  const architecture = elfArchitecture(facts);
  if (architecture === host.architecture) return 'native';
  if (compatArchitectures[host.architecture]?.includes(architecture) && kernelExecutes(architecture)) return 'compat';
  if (head !== undefined && findEmulator(head)?.everywhere === true) return 'emulated';
  return 'no';
}

/** Whether programs for `architecture` may run natively or as another ABI on a `host` machine, going by the names alone. */
export function isCompatible(architecture: string, host: string): boolean {
  return architecture === host || compatArchitectures[host]?.includes(architecture) === true;
}

/** Kernel options decide over these (and the processor, for 32-bit ARM); so a program tries. */
const compatArchitectures: Partial<Record<string, readonly string[]>> = {
  amd64: ['386', 'amd64p32'],
  arm64: ['arm', 'arm64p32'],
  s390x: ['s390'],
  ppc64: ['ppc'],
  mips64: ['mips'],
  mips64le: ['mipsle'],
  sparc64: ['elf-2', 'elf-18'],
};

const tried = new Map<string, boolean>();

/** Runs a program of a few instructions; where there is none for the architecture, the kernel gets the benefit of the doubt. */
function kernelExecutes(architecture: string): boolean {
  const known = tried.get(architecture);
  if (known !== undefined) return known;
  const program = probes[architecture];
  const works = program === undefined || execute(tinyElf(program));
  tried.set(architecture, works);
  return works;
}

/** False only if the kernel said that it doesn't know the format; a directory that is mounted noexec proves nothing. */
function execute(file: Buffer): boolean {
  const dir = mkdtempSync(join(tmpdir(), 'tsbuild-abi-'));
  try {
    const path = join(dir, 'probe');
    writeFileSync(path, file, { mode: 0o700 });
    const { error } = spawnSync(path, { stdio: 'ignore', timeout: 2000 });
    return (error as NodeJS.ErrnoException | undefined)?.code !== 'ENOEXEC';
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

interface Probe {
  readonly machine: number;
  readonly flags: number;
  /** Machine code of exit(0). */
  readonly code: readonly number[];
}

const probes: Partial<Record<string, Probe>> = {
  // mov $1,%eax; xor %ebx,%ebx; int $0x80
  '386': { machine: 3, flags: 0, code: [0xb8, 1, 0, 0, 0, 0x31, 0xdb, 0xcd, 0x80] },
  // mov $0x4000003c,%eax; xor %edi,%edi; syscall
  amd64p32: { machine: 62, flags: 0, code: [0xb8, 0x3c, 0, 0, 0x40, 0x31, 0xff, 0x0f, 0x05] },
  // mov r0,#0; mov r7,#1; svc 0
  arm: { machine: 40, flags: 0x05000000, code: [0, 0, 0xa0, 0xe3, 1, 0x70, 0xa0, 0xe3, 0, 0, 0, 0xef] },
};

/** A little-endian ELF32 executable: header, one program header, code. */
function tinyElf(probe: Probe): Buffer {
  const [headerSize, segmentSize, address] = [52, 32, 0x10000];
  const size = headerSize + segmentSize + probe.code.length;
  const file = Buffer.alloc(size);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]).copy(file);
  file.writeUInt16LE(2, 16); // e_type: ET_EXEC
  file.writeUInt16LE(probe.machine, 18);
  file.writeUInt32LE(1, 20); // e_version
  file.writeUInt32LE(address + headerSize + segmentSize, 24); // e_entry
  file.writeUInt32LE(headerSize, 28); // e_phoff
  file.writeUInt32LE(probe.flags, 36);
  file.writeUInt16LE(headerSize, 40); // e_ehsize
  file.writeUInt16LE(segmentSize, 42); // e_phentsize
  file.writeUInt16LE(1, 44); // e_phnum
  const load = [1, 0, address, address, size, size, 5, 0x1000]; // PT_LOAD, offset, addresses, sizes, r-x, alignment
  load.forEach((word, i) => {
    file.writeUInt32LE(word, headerSize + 4 * i);
  });
  Buffer.from(probe.code).copy(file, headerSize + segmentSize);
  return file;
}
