import { type Command, Option } from 'commander';
import { listCacheEntries, listCacheMounts } from '#store';
import { cacheFilter } from './cache-filter.js';
import { describeCacheMount } from './cache-inspect.js';
import { shortName } from './cache-mount-named.js';
import { type Cli, collect } from './cli.js';
import { ago, humanBytes, table } from './table.js';

interface LsOptions {
  readonly filter?: readonly string[];
  readonly format: 'table' | 'json';
  readonly quiet?: boolean;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .addOption(
      new Option('--filter <filter>', 'only these: id, description, until, inuse').argParser<readonly string[]>(
        collect,
      ),
    )
    .addOption(new Option('--format <kind>', 'how to print').choices(['table', 'json']).default('table'))
    .option('-q, --quiet', 'names only')
    .addHelpText('after', '\nexample:\n  tsbuild cache ls');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<LsOptions>();
  const store = await cli.openStore(options.store);
  const { matches, unusedForMs = 0 } = cacheFilter(options.filter ?? []);
  const wanted = (await listCacheEntries(store)).filter(
    (entry) => matches(entry) && Date.now() - entry.usedMs >= unusedForMs,
  );
  const mounts = (await listCacheMounts(store)).filter(({ name }) => wanted.some(({ id }) => id === name));
  if (options.quiet) {
    for (const { name } of mounts) cli.out(`${shortName(name)}\n`);
    return 0;
  }
  const shown = mounts.map((mount) => describeCacheMount(store, mount));
  if (options.format === 'json') {
    for (const each of shown) cli.out(`${JSON.stringify(each)}\n`);
    return 0;
  }
  const namespaces = shown.some(({ namespace }) => namespace !== undefined);
  const rows = shown.map(({ id, namespace, name, sharing, inUse, lastUsedAt, size }) => [
    id ?? '<unknown>',
    ...(namespaces ? [namespace ?? ''] : []),
    shortName(name),
    sharing ?? '',
    inUse ? 'yes' : 'no',
    ago(Date.parse(lastUsedAt)),
    humanBytes(size),
  ]);
  const header = ['ID', ...(namespaces ? ['NAMESPACE'] : []), 'NAME', 'SHARING', 'IN USE', 'LAST USED', 'SIZE'];
  cli.out(table(header, rows));
  return 0;
}
