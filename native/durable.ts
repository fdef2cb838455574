// What survives a crash: flushing, and telling one boot from another.
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { SystemError } from './errors.js';

/** fdatasync(2) on a file, or on a directory for the names in it. @throws SystemError SYNC_FAILED */
export async function syncFile(path: string): Promise<void> {
  try {
    const file = await open(path, 'r');
    try {
      await file.datasync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code;
    throw new SystemError('SYNC_FAILED', {
      message: `could not flush ${path} to the disk (${errno ?? String(cause)})`,
      hint: 'what was written may be lost in a power cut; check the disk',
      errno,
      cause,
    });
  }
}

/** A name of this boot of the kernel; another one after every restart. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
