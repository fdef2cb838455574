// Sparse members: where the pieces of data that a tar holds belong in the file
// (GNU tar manual, "Storing Sparse Files": the old GNU type 'S', and PAX formats 0.0, 0.1 and 1.0).
import { StoreError } from '../errors.js';
import { type PaxRecords, parseDecimal } from './pax.js';
import { blockSize, readNumber } from './tar-block.js';
import type { TarWindow } from './tar-window.js';

/** More pieces than this are refused: the map would be larger than what any engine reads. */
const maxPieces = 1 << 16;

export type Piece = readonly [offset: number, length: number];

export interface SparseMap {
  readonly realSize: number;
  readonly pieces: readonly Piece[];
  /** Where the data of the first piece lies; the others follow it without a gap. */
  readonly dataOffset: number;
}

/** Old GNU format: four pieces in the header, then extension blocks of 21. `at` is the header's place in the window. */
export function readGnuSparse(tar: TarWindow, headerOffset: number, at: number): SparseMap {
  const numbers: number[] = [];
  const realSize = readNumber(tar.buffer, at + 483, at + 495);
  readPairs(tar.buffer, at + 386, 4, numbers);
  let more = tar.buffer[at + 482] !== 0;
  let offset = headerOffset + blockSize;
  while (more) {
    const extension = tar.block(offset);
    readPairs(tar.buffer, extension, 21, numbers);
    more = tar.buffer[extension + 504] !== 0;
    offset += blockSize;
    if (numbers.length > 2 * maxPieces) throw invalid('too many pieces', headerOffset);
  }
  return { realSize, pieces: checkPieces(numbers, realSize, headerOffset), dataOffset: offset };
}

/** Reads until an empty pair, which ends the list of one block. */
function readPairs(buffer: Buffer, at: number, count: number, into: number[]): void {
  for (let i = 0; i < count; i++) {
    const pair = at + i * 24;
    if (buffer[pair] === 0 && buffer[pair + 12] === 0) break;
    into.push(readNumber(buffer, pair, pair + 12), readNumber(buffer, pair + 12, pair + 24));
  }
}

/** The map that PAX records speak of, or null if the member is not sparse. `dataOffset` is where the member's data starts. */
export function readPaxSparse(
  tar: TarWindow,
  pax: PaxRecords,
  storedSize: number,
  dataOffset: number,
  headerOffset: number,
): SparseMap | null {
  const { values, sparsePairs } = pax;
  const version = `${values.get('GNU.sparse.major') ?? ''}.${values.get('GNU.sparse.minor') ?? ''}`;
  const isListed = values.has('GNU.sparse.map') || sparsePairs.length > 0 || values.has('GNU.sparse.numblocks');
  if (version !== '1.0' && version !== '0.0' && version !== '0.1' && !(version === '.' && isListed)) return null;
  const realSize = parseDecimal(values.get('GNU.sparse.realsize') ?? values.get('GNU.sparse.size') ?? '');
  if (realSize === null) throw invalid('no size', headerOffset);
  if (version === '1.0') return readMapInData(tar, realSize, storedSize, dataOffset, headerOffset);
  const listed = values.get('GNU.sparse.map');
  const numbers = listed ? listed.split(',').map((text) => parseDecimal(text) ?? Number.NaN) : sparsePairs;
  return { realSize, pieces: checkPieces(numbers, realSize, headerOffset), dataOffset };
}

/** Format 1.0: decimal numbers in lines before the data, filled up to a whole block: count, then offset and length each. */
function readMapInData(
  tar: TarWindow,
  realSize: number,
  storedSize: number,
  dataOffset: number,
  headerOffset: number,
): SparseMap {
  const numbers: number[] = [];
  let wanted = 1;
  let digits = '';
  let offset = dataOffset;
  while (numbers.length < wanted) {
    if (offset + blockSize > dataOffset + storedSize) throw invalid('no end', headerOffset);
    const at = tar.block(offset);
    for (let i = at; i < at + blockSize && numbers.length < wanted; i++) {
      const byte = tar.buffer[i]!;
      if (byte !== 0x0a) {
        digits += String.fromCharCode(byte);
        if (digits.length > 16) throw invalid('a wrong number', headerOffset);
        continue;
      }
      const value = parseDecimal(digits);
      if (value === null) throw invalid('a wrong number', headerOffset);
      if (numbers.push(value) === 1) {
        if (value > maxPieces) throw invalid('too many pieces', headerOffset);
        wanted = 1 + 2 * value;
      }
      digits = '';
    }
    offset += blockSize;
  }
  return { realSize, pieces: checkPieces(numbers.slice(1), realSize, headerOffset), dataOffset: offset };
}

/** In order, inside the file, apart from each other; empty ones (GNU tar marks the file's end so) left out. */
function checkPieces(numbers: readonly number[], realSize: number, headerOffset: number): Piece[] {
  if (!Number.isSafeInteger(realSize) || realSize < 0) throw invalid('a wrong size', headerOffset);
  if (numbers.length % 2 !== 0 || numbers.length > 2 * maxPieces) {
    throw invalid('a wrong number of pieces', headerOffset);
  }
  const pieces: Piece[] = [];
  let end = 0;
  for (let i = 0; i < numbers.length; i += 2) {
    const offset = numbers[i]!;
    const length = numbers[i + 1]!;
    const isInOrder = offset >= end && length >= 0 && offset + length <= realSize; // false for NaN too
    if (!isInOrder) throw invalid('pieces that overlap or lie outside the file', headerOffset);
    end = offset + length;
    const last = pieces.at(-1);
    if (length === 0) continue;
    if (last && last[0] + last[1] === offset) pieces[pieces.length - 1] = [last[0], last[1] + length];
    else pieces.push([offset, length]);
  }
  return pieces;
}

function invalid(what: string, offset: number): StoreError {
  return new StoreError('TAR_SPARSE_INVALID', {
    message: `the map of the sparse member at byte ${offset} of the tar has ${what}`,
    hint: 'the tar is damaged; fetch or make it again',
  });
}
