// What every container of ours has, be it a RUN step or a program from an image.
import { readFileSync } from 'node:fs';
import type { StepMount } from '#native';

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
export const defaultShmBytes = 64 * 1024 * 1024;
export const defaultHostname = 'tsbuild';

interface NetworkNames {
  readonly network: 'default' | 'host' | 'none';
  /** Resolves to the machine itself: programs ask for their own name. */
  readonly hostname: string;
  readonly extraHosts: readonly { readonly name: string; readonly address: string }[];
}

/** Name resolution as on the host; bound over whatever the image has, and never part of a layer. */
export function networkFiles({ network, hostname, extraHosts }: NetworkNames): StepMount[] {
  const loopback = `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n`;
  const known = network === 'none' ? loopback : readOr('/etc/hosts', loopback);
  const own = namesOf(known).has(hostname) ? [] : [{ name: hostname, address: '127.0.0.1' }];
  const added = [...own, ...extraHosts].map(({ name, address }) => `${address}\t${name}\n`).join('');
  const hosts = file('/etc/hosts', `${known.replace(/(?<=[^\n])$/, '\n')}${added}`);
  return network === 'none' ? [hosts] : [hosts, file('/etc/resolv.conf', readOr('/etc/resolv.conf', ''))];
}

function namesOf(hosts: string): Set<string> {
  return new Set(hosts.split('\n').flatMap((line) => line.replace(/#.*/, '').split(/\s+/).slice(1)));
}

function file(target: string, text: string): StepMount {
  return { kind: 'bytes', bytes: Buffer.from(text), target, mode: 0o644, uid: 0, gid: 0 };
}

function readOr(path: string, fallback: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return fallback;
  }
}
