// One line of JSON for each request. What clients send stands in it escaped: no line can be forged, no terminal be told anything.
import { closeSync, openSync, writeSync } from 'node:fs';
import { StoreError } from '../errors.js';

export interface AccessRecord {
  readonly time: string;
  readonly remote: string;
  readonly user: string | null;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** The spec's code of an error. */
  readonly error?: string | undefined;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly durationMs: number;
  readonly userAgent: string;
  /** False where the connection broke before the answer was out. */
  readonly complete: boolean;
}

export interface AccessLog {
  write(record: AccessRecord): void;
  close(): void;
}

const longestText = 2000;

/** Appends to a file. @throws StoreError SERVE_FILE_UNWRITABLE */
export function openAccessLog(path: string): AccessLog {
  let fd: number;
  try {
    fd = openSync(path, 'a', 0o640);
  } catch (cause) {
    throw new StoreError('SERVE_FILE_UNWRITABLE', {
      message: `the access log ${path} can't be written (${(cause as NodeJS.ErrnoException).code})`,
      hint: 'check the directory and its permissions',
      cause,
    });
  }
  let isOpen = true;
  return {
    write: (record) => {
      if (!isOpen) return; // its number may be another file's by now
      try {
        writeSync(fd, accessLine(record));
      } catch {
        // A full disk: pulls go on.
      }
    },
    close: () => {
      isOpen = false;
      closeSync(fd);
    },
  };
}

export function accessLine(record: AccessRecord): string {
  const shortened = JSON.stringify(record, (_, value: unknown) =>
    typeof value === 'string' ? value.slice(0, longestText) : value,
  );
  const ascii = shortened.replace(
    /[\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `${ascii}\n`;
}
