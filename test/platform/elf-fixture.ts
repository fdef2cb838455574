// Heads of ELF programs, built byte by byte after the System V ABI, for machines without a real file at hand.

export interface Fixture {
  readonly bits?: 32 | 64;
  readonly endian?: 'little' | 'big';
  readonly machine: number;
  readonly flags?: number;
  readonly osabi?: number;
  /** e_type: 2 executable, 3 shared, 1 relocatable. */
  readonly type?: number;
  readonly interpreter?: string;
  /** Puts the interpreter's name this far into the file. */
  readonly interpreterOffset?: number;
}

export function elfFixture(fixture: Fixture): Buffer {
  const { bits = 64, endian = 'little', machine, flags = 0, osabi = 0, type = 2, interpreter } = fixture;
  const [headerSize, segmentSize] = bits === 64 ? [64, 56] : [52, 32];
  const name = interpreter === undefined ? Buffer.alloc(0) : Buffer.from(`${interpreter}\0`);
  const nameAt = fixture.interpreterOffset ?? headerSize + segmentSize;
  const file = Buffer.alloc(nameAt + name.length);
  const u16 = (value: number, at: number) =>
    endian === 'little' ? file.writeUInt16LE(value, at) : file.writeUInt16BE(value, at);
  const u32 = (value: number, at: number) =>
    endian === 'little' ? file.writeUInt32LE(value, at) : file.writeUInt32BE(value, at);
  const word = (value: number, at: number) => {
    if (bits === 32) return u32(value, at);
    return endian === 'little' ? file.writeBigUInt64LE(BigInt(value), at) : file.writeBigUInt64BE(BigInt(value), at);
  };
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, endian === 'little' ? 1 : 2, 1, osabi]).copy(file);
  u16(type, 16);
  u16(machine, 18);
  u32(1, 20);
  word(headerSize, bits === 64 ? 32 : 28);
  u32(flags, bits === 64 ? 48 : 36);
  u16(segmentSize, bits === 64 ? 54 : 42);
  u16(interpreter === undefined ? 0 : 1, bits === 64 ? 56 : 44);
  if (interpreter !== undefined) {
    u32(3, headerSize); // PT_INTERP
    word(nameAt, headerSize + (bits === 64 ? 8 : 4));
    word(name.length, headerSize + (bits === 64 ? 32 : 16));
    name.copy(file, nameAt);
  }
  return file;
}
