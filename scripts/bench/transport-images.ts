// What the transport scenarios move: Debian in one layer and in ten, in a store, a registry and layouts.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchRegistry } from './registry.js';

export interface Images {
  /** A store with both images, and no compressed form of their layers. */
  readonly store: string;
  /** References in the registry, compressed by gzip. */
  readonly one: string;
  readonly ten: string;
  /** `DIR:TAG` of layouts with gzip layers. */
  readonly oneLayout: string;
  readonly tenLayout: string;
  /** `DIR:TAG` of one with layers as they are. */
  readonly plainLayout: string;
}

/** Parts of a Debian, each a layer of its own; the tenth is everything else. */
const parts = [
  'usr/lib/x86_64-linux-gnu',
  'usr/bin',
  'usr/share/locale',
  'usr/share/doc',
  'usr/share/zoneinfo',
  'usr/sbin',
  'usr/share/perl5',
  'etc',
  'var',
];

export function makeImages(dir: string, tsbuild: string, debianTar: string, registry: BenchRegistry): Images {
  const store = join(dir, 'transport-store');
  const cli = (...words: string[]): void => void execFileSync(tsbuild, words, { stdio: 'pipe' });
  cli('import', '--store', store, debianTar, '-t', 'debian:1');
  tenLayers(dir, debianTar);
  cli('--store', store, '-t', 'debian:10', join(dir, 'ten'));
  const [one, ten] = [`${registry.name}/debian:1`, `${registry.name}/debian:10`];
  const layout = join(dir, 'transport-gzip');
  const plain = join(dir, 'transport-plain');
  cli('push', '--store', store, '--compression', 'none', 'debian:1', `oci-layout:${plain}:1`);
  // Compressed from a copy of the store, so that the store itself knows no compressed form.
  const copy = `${store}-compressed`;
  execFileSync('cp', ['-a', store, copy]);
  for (const [tag, target] of [
    ['1', one],
    ['10', ten],
  ] as const) {
    cli('push', '--store', copy, `debian:${tag}`, target);
    cli('push', '--store', copy, '--compression', 'gzip', `debian:${tag}`, `oci-layout:${layout}:${tag}`);
  }
  rmSync(copy, { recursive: true });
  return { store, one, ten, oneLayout: `${layout}:1`, tenLayout: `${layout}:10`, plainLayout: `${plain}:1` };
}

function tenLayers(dir: string, debianTar: string): void {
  const [root, context] = [join(dir, 'debian-root'), join(dir, 'ten')];
  mkdirSync(root);
  mkdirSync(context);
  execFileSync('tar', ['-C', root, '--exclude=./dev/*', '-xpf', debianTar]);
  const pack = (name: string, words: string[]): void => {
    execFileSync('tar', ['-C', root, '--sort=name', '-cf', join(context, name), ...words]);
  };
  for (const [i, part] of parts.entries()) pack(`${i}.tar`, [`./${part}`]);
  pack('rest.tar', [...parts.map((part) => `--exclude=./${part}/*`), '.']);
  const lines = ['rest.tar', ...parts.map((_, i) => `${i}.tar`)].map((name) => `ADD ${name} /\n`);
  writeFileSync(join(context, 'Buildfile'), `FROM scratch\n${lines.join('')}`);
  rmSync(root, { recursive: true });
}
