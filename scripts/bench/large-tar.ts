// large-tar GB TAR: a tar with one file of so many GB on standard output, as compressible as the bytes of TAR, that repeats nowhere
// within a megabyte of itself.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';

const [gigabytes = '1', tar = ''] = process.argv.slice(2);
const size = Number(gigabytes) * 1e9;

function main(): void {
  write(header(size));
  const source = openSync(tar, 'r');
  const chunk = Buffer.alloc(1 << 20);
  let offset = 0;
  for (let left = size; left > 0; ) {
    const length = readSync(source, chunk, 0, Math.min(chunk.length, left), offset);
    if (length === 0) {
      offset = 0;
      continue;
    }
    write(chunk.subarray(0, length));
    offset += length;
    left -= length;
  }
  closeSync(source);
  write(Buffer.alloc(1024 + ((512 - (size % 512)) % 512)));
}

function header(bytes: number): Buffer {
  const block = Buffer.alloc(512);
  block.write('large');
  block.write('0000644\x000000000\x000000000\0', 100);
  // Base 256, as GNU writes sizes above 8 GiB.
  block.writeUInt8(0x80, 124);
  block.writeBigUInt64BE(BigInt(bytes), 128);
  block.write('00000000000\0        0', 136);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function write(bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(1, bytes, done);
}

main();
