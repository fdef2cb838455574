// What every container of ours has, be it a RUN step or a program from an image.
import { readFileSync } from 'node:fs';
import type { StepMount } from '#native';

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
export const shmSizeBytes = 64 * 1024 * 1024;

/** Name resolution as on the host; bound over whatever the image has, and never part of a layer. */
export function networkFiles(network: 'default' | 'host' | 'none'): StepMount[] {
  if (network === 'none') return [file('/etc/hosts', Buffer.from('127.0.0.1\tlocalhost\n::1\tlocalhost\n'))];
  return [
    file('/etc/hosts', readOr('/etc/hosts', '127.0.0.1\tlocalhost\n')),
    file('/etc/resolv.conf', readOr('/etc/resolv.conf', '')),
  ];
}

function file(target: string, bytes: Buffer): StepMount {
  return { kind: 'bytes', bytes, target, mode: 0o644, uid: 0, gid: 0 };
}

function readOr(path: string, fallback: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.from(fallback);
  }
}
