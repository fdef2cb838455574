// Telling one boot of the machine from another.
import { readFileSync } from 'node:fs';

/** A name of this boot of the kernel; another one after every restart. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
