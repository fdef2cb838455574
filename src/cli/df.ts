import { type Command, Option } from 'commander';
import {
  type CacheEntry,
  type DiskUsage,
  diskUsage,
  entryBytes,
  familiarName,
  listCacheEntries,
  type Store,
  type StorePart,
} from '#store';
import { cacheFilter, shortId } from './cache-filter.js';
import { shortName } from './cache-mount-named.js';
import { type Cli, collect } from './cli.js';
import { ago, humanBytes, table } from './table.js';

interface DfOptions {
  readonly duplicates?: boolean;
  readonly filter?: readonly string[];
  readonly format: 'table' | 'json';
  readonly minSize?: string;
  readonly store?: string;
  readonly top?: string;
  readonly verbose?: boolean;
}

export function configure(command: Command): void {
  command
    .addOption(new Option('--format <kind>', 'how to print').choices(['table', 'json']).default('table'))
    .option('-v, --verbose', 'layers and entries of the build cache too, one by one')
    .option(
      '--filter <filter>',
      'instead of all this, these entries of the build cache: id, type, description, until, inuse, shared, …',
      collect,
    )
    .option('--duplicates', 'instead, identical files of several layers, or several in one; -v: all their places')
    .option('--min-size <size>', 'of duplicates: leave out smaller files')
    .option('--top <n>', 'of duplicates: so many, those that waste most (default: 20)')
    .addHelpText(
      'after',
      `
SIZE is what a reader of the image sees. SHARED and OWN lie on the disk, for other images too or for this one alone; CACHED
is the part of OWN that the build cache would keep. FORMS are indexes and trees, made again when they are missing.

examples:
  tsbuild df
  tsbuild df --duplicates --min-size 100kb
  tsbuild du --filter type=exec.cachemount`,
    );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<DfOptions>();
  const store = await cli.openStore(options.store);
  if (options.duplicates) {
    const { showDuplicates } = await import('./df-duplicates.js');
    await showDuplicates(cli, store, options);
    return 0;
  }
  if (options.filter) {
    const entries = await measuredEntries(store, options.filter);
    if (options.format === 'json') for (const entry of entries) cli.out(`${JSON.stringify(withoutFiles(entry))}\n`);
    else showEntries(cli, entries);
    return 0;
  }
  const { layers, ...usage } = diskUsage(store);
  const entries = options.verbose ? await measuredEntries(store, []) : [];
  if (options.format === 'json') {
    const details = options.verbose ? { layers, cache: entries.map(withoutFiles) } : {};
    cli.out(`${JSON.stringify({ ...usage, ...details })}\n`);
    return 0;
  }
  showImages(cli, usage.images);
  if (options.verbose) {
    showLayers(cli, { layers, images: usage.images });
    if (entries.length > 0) showEntries(cli, entries);
    cli.out('\n');
  }
  const parts = (Object.keys(partNames) as StorePart[]).filter((part) => usage.parts[part] > 0);
  const sums = [...parts.map((part): [string, number] => [partNames[part], usage.parts[part]])];
  const rows = [...sums, ['total', usage.totalBytes] as const].map(([name, bytes]) => [name, humanBytes(bytes)]);
  cli.out(table(['IN THE STORE', 'BYTES'], rows));
  cli.out(
    `\n${humanBytes(usage.cacheBytes)} of it are kept for the build cache (${usage.cacheRecords} record${usage.cacheRecords === 1 ? '' : 's'}) only\n`,
  );
  return 0;
}

const partNames: Readonly<Record<StorePart, string>> = {
  tarBytes: 'layers',
  indexBytes: 'indexes of layers',
  treeBytes: 'unpacked layers',
  compressedBytes: 'compressed layers',
  documentBytes: 'configs and manifests',
  cacheMountBytes: 'cache mounts',
  downloadBytes: 'downloads',
  gitBytes: 'git repositories',
  fileDigestBytes: 'digests of files',
  databaseBytes: 'database',
  unfinishedBytes: 'unfinished',
  trashBytes: 'trash',
  quarantineBytes: 'quarantine',
  reserveBytes: 'reserve',
  remainingBytes: 'everything else',
};

function showImages(cli: Cli, images: DiskUsage['images']): void {
  const rows = images.map((image) => [
    nameOfImage(image),
    ...[image.logicalBytes, image.sharedBytes, image.ownBytes, image.cachedBytes, image.tarBytes].map(humanBytes),
    humanBytes(image.indexBytes + image.treeBytes),
    humanBytes(image.compressedBytes + image.documentBytes),
  ]);
  const header = ['IMAGE', 'SIZE', 'SHARED', 'OWN', 'CACHED', 'LAYERS', 'FORMS', 'BLOBS'];
  if (rows.length > 0) cli.out(`${table(header, rows)}\n`);
}

function showLayers(cli: Cli, { layers, images }: Pick<DiskUsage, 'layers' | 'images'>): void {
  const names = new Map(images.map((image) => [image.digest, nameOfImage(image)]));
  const rows = layers.map(({ images: users, ...layer }) => [
    shortId(layer.diffId),
    ...[layer.logicalBytes, layer.tarBytes, layer.indexBytes, layer.treeBytes, layer.compressedBytes].map(humanBytes),
    [...users.map((digest) => names.get(digest)), ...(layer.cached ? ['(build cache)'] : [])].join(', '),
  ]);
  const header = ['LAYER', 'SIZE', 'TAR', 'INDEX', 'TREE', 'COMPRESSED', 'USED BY'];
  if (rows.length > 0) cli.out(`${table(header, rows)}\n`);
}

function nameOfImage({ references, digest }: DiskUsage['images'][number]): string {
  return references.map(familiarName).join(', ') || shortId(digest);
}

type MeasuredEntry = CacheEntry & { readonly bytes: number };

async function measuredEntries(store: Store, filter: readonly string[]): Promise<readonly MeasuredEntry[]> {
  const { matches, unusedForMs = 0 } = cacheFilter(filter);
  return (await listCacheEntries(store))
    .filter((entry) => matches(entry) && Date.now() - entry.usedMs >= unusedForMs)
    .map((entry) => ({ ...entry, bytes: entryBytes(entry) }));
}

function withoutFiles({ keys: _keys, paths: _paths, ...entry }: MeasuredEntry): object {
  return entry;
}

/** The build cache entry by entry, and its sums, as docker buildx du has them. */
function showEntries(cli: Cli, entries: readonly MeasuredEntry[]): void {
  const rows = entries.map((entry) => [
    `${nameOf(entry)}${entry.mutable ? '*' : ''}`,
    entry.type,
    entry.inUse ? 'false' : 'true',
    `${humanBytes(entry.bytes)}${entry.shared ? '*' : ''}`,
    ago(entry.usedMs),
    entry.description,
  ]);
  if (rows.length > 0) {
    cli.out(`${table(['ID', 'TYPE', 'RECLAIMABLE', 'SIZE', 'LAST USED', 'DESCRIPTION'], rows)}\n`);
  }
  const sum = (isCounted: (entry: CacheEntry) => boolean): string =>
    humanBytes(entries.filter(isCounted).reduce((total, { bytes }) => total + bytes, 0));
  cli.out(`Shared:       ${sum(({ shared }) => shared)}\n`);
  cli.out(`Private:      ${sum(({ shared }) => !shared)}\n`);
  cli.out(`Reclaimable:  ${sum(({ shared, inUse }) => !shared && !inUse)}\n`);
  cli.out(`Total:        ${sum(() => true)}\n`);
}

function nameOf({ id, type }: CacheEntry): string {
  return type === 'exec.cachemount' ? shortName(id) : shortId(id);
}
