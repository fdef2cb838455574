// An address → the source or the destination of a copy, opened; what has to be closed or removed afterwards goes with `Ends`.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  dirDestination,
  dockerArchiveDestination,
  type ImageConfig,
  type ImageDestination,
  type ImageSource,
  type Lease,
  layoutDestination,
  ociArchiveDestination,
  openDirSource,
  openDockerArchiveSource,
  openLayoutSource,
  openLease,
  openOciArchiveSource,
  openReadingLease,
  openRegistrySource,
  openStoreSource,
  type RegistryOptions,
  registryDestination,
  type Scratch,
  type Store,
  StoreError,
  storeDestination,
} from '#store';
import { hostPlatform, samePlatform } from '../platform/index.js';
import { openAutomaticGc } from './automatic-gc.js';
import { type Cli, largestLayer, UsageError } from './cli.js';
import type { ImageAddress } from './image-address.js';
import { findNamed } from './open-image.js';

export interface OpenOptions {
  readonly store: string | undefined;
  readonly access: RegistryOptions;
  readonly onProgress: Parameters<typeof openStoreSource>[4];
}

/** Everything that a copy opens on the way. */
export class Ends implements Scratch {
  readonly #closers: (() => Promise<void> | void)[] = [];
  #scratch: string | undefined;
  #count = 0;

  readonly maxLayerBytes: number | undefined;

  constructor(readonly cli: Cli) {
    this.maxLayerBytes = largestLayer(cli.env);
  }

  closing(close: () => Promise<void> | void): void {
    this.#closers.push(close);
  }

  async readingLease(store: Store, purpose: string): Promise<Lease> {
    const lease = await openReadingLease(store, purpose);
    this.closing(() => lease.release());
    return lease;
  }

  async lease(store: Store, purpose: string): Promise<Lease> {
    const lease = await openLease(store, purpose);
    this.closing(() => lease.release());
    return lease;
  }

  /** In a directory that is removed at the end. */
  path(name: string): string {
    if (this.#scratch === undefined) {
      const dir = mkdtempSync(join(process.env.TMPDIR ? tmpdir() : '/var/tmp', 'tsbuild-copy-'));
      this.closing(() => rmSync(dir, { recursive: true, force: true }));
      this.#scratch = dir;
    }
    this.#count += 1;
    return join(this.#scratch, `${this.#count}-${name}`);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.reverse()) await close();
  }
}

/** @throws StoreError when there is no such image; UsageError */
export async function openSource(ends: Ends, address: ImageAddress, options: OpenOptions): Promise<ImageSource> {
  const source = await sourceAt(ends, address, options);
  ends.closing(() => source.close());
  return source;
}

async function sourceAt(ends: Ends, address: ImageAddress, options: OpenOptions): Promise<ImageSource> {
  switch (address.transport) {
    case 'docker':
      return openRegistrySource(address.reference, options.access);
    case 'oci':
      return openLayoutSource(address.dir, address.tag);
    case 'oci-archive':
      return openOciArchiveSource(ends, address.file === '-' ? process.stdin : address.file, address.tag);
    case 'docker-archive':
      return openDockerArchiveSource(ends, address.file === '-' ? process.stdin : address.file, address.tag);
    case 'dir':
      return openDirSource(address.dir);
    case 'store': {
      const { store, name } = await openStoreAt(ends.cli, address, options.store);
      const lease = await ends.readingLease(store, `copy of ${name}`);
      const { digest } = await findNamed(store, name);
      return openStoreSource(store, lease, digest, name, options.onProgress);
    }
  }
}

/** @throws StoreError STORE_NOT_A_STORE; UsageError */
export async function openStoreAt(
  cli: Cli,
  { dir, name }: Extract<ImageAddress, { transport: 'store' }>,
  defaultStore: string | undefined,
): Promise<{ store: Store; name: string }> {
  if (name === null && dir !== undefined) {
    throw new StoreError('STORE_NOT_A_STORE', {
      message: `${dir} names no image of a store`,
      hint: 'the address is store://DIR/NAME:TAG, with DIR as --store takes it',
    });
  }
  if (name === null || name === '')
    throw new UsageError('USAGE', { message: 'store: names no image', hint: 'write store:NAME' });
  return { store: await cli.openStore(dir ?? defaultStore), name };
}

/** @param sourceName what an image is called in a store where the address does not say */
export async function openDestination(
  ends: Ends,
  address: ImageAddress,
  text: string,
  sourceName: string | undefined,
  options: OpenOptions,
): Promise<ImageDestination> {
  switch (address.transport) {
    case 'docker':
      return registryDestination(address.reference, options.access);
    case 'oci':
      return layoutDestination(address.dir, address.tag);
    case 'oci-archive':
      return ociArchiveDestination({ name: text, target: archiveTarget(address.file), tag: address.tag });
    case 'docker-archive':
      return dockerArchiveDestination({ name: text, target: archiveTarget(address.file), tag: address.tag }, ends);
    case 'dir':
      return dirDestination(address.dir);
    case 'store': {
      const store = await ends.cli.openStore(address.dir ?? options.store);
      ends.closing(openAutomaticGc(ends.cli, store));
      const lease = await ends.lease(store, `copy to ${text}`);
      return storeDestination({ store, lease, tag: address.name ?? sourceName, unpack: isForHere });
    }
  }
}

function archiveTarget(file: string): string | typeof process.stdout {
  if (file !== '-') return file;
  if (!process.stdout.isTTY) return process.stdout;
  throw new UsageError('USAGE', {
    message: 'an archive is nothing for a terminal',
    hint: 'write it to a file, or into a pipe',
  });
}

function isForHere(config: ImageConfig): boolean {
  return samePlatform(config, hostPlatform());
}
