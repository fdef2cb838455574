// Which bytes of a blob a client wants. @see RFC 9110, 14
import { RequestError } from './errors.js';

export interface ByteRange {
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
}

/**
 * Null: all of them. Several ranges at once are answered with everything, as the RFC allows.
 *
 * @throws RequestError 416
 */
export function parseRange(header: string | undefined, size: number): ByteRange | null {
  if (header === undefined || !/^bytes=/i.test(header) || header.includes(',')) return null;
  const match = /^bytes=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header);
  const [, first = '', last = ''] = match ?? [];
  if (match === null || (first === '' && last === '')) throw unsatisfiable(size);
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (start > end || (first !== '' && last !== '' && Number(last) < Number(first))) throw unsatisfiable(size);
  return { start, end };
}

function unsatisfiable(size: number): RequestError {
  return new RequestError(416, 'SIZE_INVALID', `the blob has ${size} bytes`, { 'content-range': `bytes */${size}` });
}

/** Where a chunk of an upload begins and ends; null where it does not say. @throws RequestError 416 */
export function parseContentRange(header: string | undefined): ByteRange | null {
  if (header === undefined) return null;
  const [, first, last] = /^(?:bytes[ =])?(\d{1,16})-(\d{1,16})(?:\/.*)?$/.exec(header.trim()) ?? [];
  if (first === undefined || last === undefined || Number(last) < Number(first)) {
    throw new RequestError(416, 'BLOB_UPLOAD_INVALID', 'Content-Range is written as FIRST-LAST');
  }
  return { start: Number(first), end: Number(last) };
}
