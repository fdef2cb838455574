import { type Command, Option } from 'commander';
import { type CacheEntry, diskUsage, entryBytes, familiarName, listCacheEntries, type Store } from '#store';
import { cacheFilter, shortId } from './cache-filter.js';
import { shortName } from './cache-mount-named.js';
import { type Cli, collect } from './cli.js';
import { ago, humanBytes, table } from './table.js';

interface DfOptions {
  readonly filter?: readonly string[];
  readonly format: 'table' | 'json';
  readonly store?: string;
  readonly verbose?: boolean;
}

export function configure(command: Command): void {
  command
    .addOption(new Option('--format <kind>', 'how to print').choices(['table', 'json']).default('table'))
    .option('-v, --verbose', 'the entries of the build cache, one by one')
    .option('--filter <filter>', 'only these entries: id, type, description, until, inuse, shared, …', collect)
    .addHelpText('after', '\nexamples:\n  tsbuild df\n  tsbuild du --filter type=exec.cachemount');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<DfOptions>();
  const store = await cli.openStore(options.store);
  if (options.verbose || options.filter) {
    await showEntries(cli, store, options);
    return 0;
  }
  const usage = diskUsage(store);
  if (options.format === 'json') {
    cli.out(`${JSON.stringify(usage)}\n`);
    return 0;
  }
  const images = usage.images.map((image) => [
    image.references.map(familiarName).join(', ') || image.digest.slice('sha256:'.length).slice(0, 12),
    humanBytes(image.logicalBytes),
    humanBytes(image.sharedBytes),
    humanBytes(image.ownBytes),
  ]);
  if (images.length > 0) cli.out(`${table(['IMAGE', 'SIZE', 'SHARED', 'OWN'], images)}\n`);
  const parts: [string, number][] = [
    ['layers', usage.layerBytes],
    ['trees', usage.treeBytes],
    ['blobs', usage.blobBytes],
    ['cache mounts', usage.cacheMountBytes],
    ['other', usage.otherBytes - usage.cacheMountBytes],
    ['total', usage.totalBytes],
  ];
  cli.out(
    table(
      ['IN THE STORE', 'BYTES'],
      parts.map(([name, bytes]) => [name, humanBytes(bytes)]),
    ),
  );
  cli.out(
    `\n${humanBytes(usage.cacheBytes)} of it are kept for the build cache (${usage.cacheRecords} records) only\n`,
  );
  return 0;
}

/** The build cache entry by entry, and its sums, as docker buildx du has them. */
async function showEntries(cli: Cli, store: Store, { filter = [], format }: DfOptions): Promise<void> {
  const { matches, unusedForMs = 0 } = cacheFilter(filter);
  const entries = (await listCacheEntries(store))
    .filter((entry) => matches(entry) && Date.now() - entry.usedMs >= unusedForMs)
    .map((entry) => ({ ...entry, bytes: entryBytes(entry) }));
  if (format === 'json') {
    for (const { keys: _keys, paths: _paths, ...entry } of entries) cli.out(`${JSON.stringify(entry)}\n`);
    return;
  }
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
