// PAX extended header records: "LENGTH KEY=VALUE\n", LENGTH counting the whole record in bytes (POSIX.1-2017 pax).
// Values stay bytes: attribute values are binary, and names need not be UTF-8.
import type { Xattr } from '#native';
import { StoreError } from '../errors.js';

/** Larger headers are refused, as Go's archive/tar (and so every container engine) does. */
export const maxExtendedBytes = 1 << 20;

const xattrPrefix = 'SCHILY.xattr.';
/** libarchive's base64 form of the same. */
const libarchivePrefix = 'LIBARCHIVE.xattr.';

export interface PaxRecords {
  /** Text records, one character a byte; the last of equal keys. An empty value takes back what a global header said. */
  readonly values: ReadonlyMap<string, string>;
  readonly xattrs: readonly Xattr[];
  /** GNU.sparse.offset and .numbytes in the order they came (format 0.0). */
  readonly sparsePairs: readonly number[];
}

/** @throws StoreError TAR_PAX_INVALID */
export function parsePax(data: Buffer, offset: number): PaxRecords {
  const values = new Map<string, string>();
  let xattrs: Map<string, Xattr> | null = null; // few members have any
  const sparsePairs: number[] = [];
  let at = 0;
  while (at < data.length) {
    const record = readRecord(data, at);
    if (!record) throw damaged(`a malformed record at byte ${at} of it`, offset);
    at = record.end;
    const key = data.toString('latin1', record.key, record.value - 1);
    if (key.startsWith(xattrPrefix)) {
      const name = decodeXattrName(key.slice(xattrPrefix.length));
      xattrs ??= new Map();
      xattrs.set(name, { name, value: Buffer.from(data.subarray(record.value, at - 1)) });
    } else if (key.startsWith(libarchivePrefix)) {
      const name = unescapePercent(key.slice(libarchivePrefix.length));
      const value = Buffer.from(data.toString('latin1', record.value, at - 1), 'base64');
      xattrs ??= new Map();
      if (!xattrs.has(name)) xattrs.set(name, { name, value });
    } else if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      const number = parseDecimal(data.toString('latin1', record.value, at - 1));
      const isOffset = key === 'GNU.sparse.offset';
      if (number === null || isOffset !== (sparsePairs.length % 2 === 0)) throw damaged(`a wrong ${key}`, offset);
      sparsePairs.push(number);
    } else {
      values.set(key, data.toString('latin1', record.value, at - 1));
    }
  }
  if (xattrs === null) return { values, xattrs: noXattrs, sparsePairs };
  for (const { name } of xattrs.values()) {
    if (name === '' || name.includes('\0')) throw damaged('an extended attribute without a proper name', offset);
  }
  return { values, xattrs: [...xattrs.values()], sparsePairs };
}

const noXattrs: readonly Xattr[] = [];

/** Where key and value of the record at `at` start and where the record ends; null if it is none. */
function readRecord(data: Buffer, at: number): { key: number; value: number; end: number } | null {
  let length = 0;
  let i = at;
  for (; i < data.length && i < at + 8; i++) {
    const digit = data[i]! - 0x30;
    if (digit < 0 || digit > 9) break;
    length = length * 10 + digit;
  }
  const end = at + length;
  if (i === at || data[i] !== 0x20 || end > data.length || end < i + 3 || data[end - 1] !== 0x0a) return null;
  const equals = data.indexOf(0x3d, i + 1);
  if (equals === -1 || equals >= end - 1 || equals === i + 1) return null;
  return { key: i + 1, value: equals + 1, end };
}

/** '12' or null. */
export function parseDecimal(text: string): number | null {
  if (text.length === 0 || text.length > 16) return null;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return null;
    value = value * 10 + digit;
  }
  return Number.isSafeInteger(value) ? value : null;
}

/** Seconds with a fraction, which may be negative: '-0.5' is second -1 and 500,000,000 ns. */
export function parseTime(text: string): { sec: number; nsec: number } | null {
  const negative = text.startsWith('-');
  const dot = text.indexOf('.');
  const sec = parseDecimal(text.slice(negative ? 1 : 0, dot === -1 ? text.length : dot));
  const fraction = dot === -1 ? '0' : text.slice(dot + 1, dot + 10).padEnd(9, '0');
  const nsec = parseDecimal(fraction);
  if (sec === null || nsec === null) return null;
  if (!negative) return { sec, nsec };
  return nsec === 0 ? { sec: 0 - sec, nsec: 0 } : { sec: -sec - 1, nsec: 1e9 - nsec };
}

export function formatTime(sec: number, nsec: number): string {
  if (nsec === 0) return String(sec);
  const negative = sec < 0;
  const whole = negative ? -sec - 1 : sec;
  let fraction = negative ? 1e9 - nsec : nsec;
  let digits = 9;
  for (; fraction % 10 === 0; digits--) fraction /= 10;
  return `${negative ? '-' : ''}${whole}.${String(fraction).padStart(digits, '0')}`;
}

/** One record, key and value with one character a byte. */
export function paxRecord(key: string, value: string): string {
  const body = key.length + value.length + 3; // space, '=' and newline
  let digits = 1;
  while (body + digits >= 10 ** digits) digits++; // the length counts its own digits
  return `${body + digits} ${key}=${value}\n`;
}

export function xattrKey(name: string): string {
  // '=' ends a key, so it is written as GNU tar does; '%' only where it would read as such an escape.
  return `${xattrPrefix}${name.replace(/%(?=3D|25)/g, '%25').replaceAll('=', '%3D')}`;
}

function decodeXattrName(text: string): string {
  return text.includes('%') ? text.replaceAll('%3D', '=').replaceAll('%25', '%') : text;
}

function unescapePercent(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function damaged(what: string, offset: number): StoreError {
  return new StoreError('TAR_PAX_INVALID', {
    message: `the extended header at byte ${offset} of the tar has ${what}`,
    hint: 'the tar is damaged; fetch or make it again',
  });
}
