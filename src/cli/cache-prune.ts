import type { Command } from 'commander';
import { emptyTrash, entryBytes, listCacheEntries, removeCacheMounts } from '#store';
import { cacheFilter } from './cache-filter.js';
import { cacheMountsNamed, shortName } from './cache-mount-named.js';
import { type Cli, collect, UsageError } from './cli.js';
import { humanBytes } from './table.js';

interface PruneOptions {
  readonly all?: boolean;
  readonly filter?: readonly string[];
  readonly id?: readonly string[];
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('[cache...]', 'ids or names, as with --id')
    .option('-a, --all', 'every cache that no step uses')
    .option('--filter <filter>', 'only these: id, description, until, inuse', collect)
    .option('--id <id>', 'the caches of this id, or the one of this name', collect)
    .option('-f, --force', 'nothing is asked anyway')
    .addHelpText('after', '\nexamples:\n  tsbuild cache prune --id npm\n  tsbuild cache prune --filter until=7d');
}

/** A cache that is in use stays, and whoever named it is told. */
export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<PruneOptions>();
  const ids = [...(options.id ?? []), ...command.args];
  if (options.all !== true && options.filter === undefined && ids.length === 0) {
    throw new UsageError('USAGE', {
      message: 'cache prune is not told what to remove',
      hint: 'give --id ID, --filter until=7d, or --all',
    });
  }
  const store = await cli.openStore(options.store, { freeing: true });
  const named = new Set<string>();
  for (const id of ids) for (const { name } of await cacheMountsNamed(store, id)) named.add(name);
  const { matches, unusedForMs = 0 } = cacheFilter(options.filter ?? []);
  const wanted = (await listCacheEntries(store)).filter(
    (entry) =>
      entry.type === 'exec.cachemount' &&
      (ids.length === 0 || named.has(entry.id)) &&
      matches(entry) &&
      Date.now() - entry.usedMs >= unusedForMs,
  );
  const bytes = new Map(wanted.map((entry) => [entry.id, entryBytes(entry)]));
  const removed = await removeCacheMounts(store, [...bytes.keys()]);
  await emptyTrash(store.dir, await cli.openHost());
  for (const { id, description } of wanted) {
    if (removed.includes(id)) cli.out(`${shortName(id)} ${description}\n`);
    else cli.err(`${shortName(id)} ${description} is in use: it stays\n`);
  }
  const total = removed.reduce((sum, name) => sum + (bytes.get(name) ?? 0), 0);
  cli.out(`removed ${removed.length} cache mount${removed.length === 1 ? '' : 's'}: ${humanBytes(total)} freed\n`);
  return removed.length < wanted.length && ids.length > 0 ? 1 : 0;
}
