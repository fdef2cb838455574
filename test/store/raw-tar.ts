// Tars put together block by block, for what no tool writes.

const blockSize = 512;

/** Data of a member, filled up to whole blocks. */
export function padded(data: Buffer | string): Buffer {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
  return Buffer.concat([bytes, Buffer.alloc((blockSize - (bytes.length % blockSize)) % blockSize)]);
}

export const octal = (value: number): string => `${value.toString(8).padStart(11, '0')}\0`;

/** A header block; `fields` overwrites bytes from the given places on. */
export function header(name: string, flag = '0', fields: Readonly<Record<number, string>> = {}): Buffer {
  const block = Buffer.alloc(blockSize);
  block.write(name, 0, 'latin1');
  block.write('0000644\x000000000\x000000000\x0000000000000\x00', 100, 'latin1');
  block.write(octal(1700000000), 136, 'latin1');
  block.write(flag, 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  for (const [at, text] of Object.entries(fields)) block.write(text, Number(at), 'latin1');
  return withChecksum(block);
}

function withChecksum(block: Buffer, at = 0): Buffer {
  let sum = 8 * 0x20;
  for (let i = 0; i < blockSize; i++) if (i < 148 || i >= 156) sum += block[at + i]!;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
  return block;
}

export const sized = (
  name: string,
  flag: string,
  size: number,
  fields: Readonly<Record<number, string>> = {},
): Buffer => header(name, flag, { 124: octal(size), ...fields });

/** A regular file with its content. */
export function file(name: string, text = '', fields: Readonly<Record<number, string>> = {}): Buffer {
  return Buffer.concat([sized(name, '0', text.length, fields), padded(text)]);
}

export const folder = (name: string, mode = '0000755\0'): Buffer => header(name, '5', { 100: mode });
export const symlink = (name: string, target: string): Buffer => header(name, '2', { 100: '0000777\0', 157: target });
export const hardlink = (name: string, target: string): Buffer => header(name, '1', { 157: target });

/** One record of an extended header. */
export function record(key: string, value: string): string {
  const body = key.length + value.length + 3;
  let length = body + 1;
  while (String(length).length + body !== length) length++;
  return `${length} ${key}=${value}\n`;
}

/** An extended header for the next member. */
export const pax = (...records: readonly string[]): Buffer => extended('x', records);

/** An extended header for all members that follow. */
export const globalPax = (...records: readonly string[]): Buffer => extended('g', records);

function extended(flag: string, records: readonly string[]): Buffer {
  const data = records.join('');
  return Buffer.concat([sized('pax', flag, data.length), padded(data)]);
}

/** GNU's headers for a long name ('L') and a long link target ('K'). */
export const gnuLong = (flag: 'L' | 'K', text: string): Buffer =>
  Buffer.concat([sized('././@LongLink', flag, text.length + 1), padded(`${text}\0`)]);

export const archiveEnd = Buffer.alloc(2 * blockSize);

export function archive(...members: readonly Buffer[]): Buffer {
  return Buffer.concat([...members, archiveEnd]);
}
