import type { Command } from 'commander';
import { collectGarbage, type Freed, judgeCache, planGarbage, type Verdict } from '#store';
import { shortId } from './cache-filter.js';
import type { Cli } from './cli.js';
import { gcSettings } from './gc-settings.js';
import { addPruneOptions, type PruneOptions, prunePolicies } from './prune-options.js';
import { ago, humanBytes, table } from './table.js';

interface GcOptions extends PruneOptions {
  readonly dryRun?: boolean;
  readonly verbose?: boolean;
  readonly quarantine?: boolean;
  readonly store?: string;
}

export function configure(command: Command): void {
  addPruneOptions(command);
  command
    .option('--quarantine', 'remove what was found damaged and put aside, too')
    .option('--dry-run', 'remove nothing, say what would go and why')
    .option('--verbose', 'say of each entry of the build cache why it goes or stays')
    .addHelpText(
      'after',
      `
What no tag, running build or kept entry of the build cache refers to goes. Of the cache goes what --all and the filters are
about, less what the other options keep. Without options it is what the policies of gc.json say; where there is none, what
was not used for 30 days, and as much as makes a fifth of the disk free, but for 10 GB or a tenth of the disk. An entry is of type
regular (a step's result), exec.cachemount (a cache of RUN --mount), or blob.compressed (a layer as it was pushed).

A build, pull, load, import or copy that leaves the store beyond these limits collects garbage by itself. Policies are settled in
~/.config/tsbuild/gc.json, or the file that $TSBUILD_GC names, as in docker's daemon.json; they are applied in their order:
  {"policy": [{"filter": ["type=exec.cachemount"], "keepDuration": "48h", "maxUsedSpace": "10gb"},
              {"keepDuration": "60d"},
              {"reservedSpace": "10gb", "maxUsedSpace": "50%", "minFreeSpace": "20%"}]}
{"enabled": false} there, or TSBUILD_GC=off, leave it to this command. Where $TSBUILD_STORE_MAX says a size such as 20gb,
the cache gives way until the whole store fits.

examples:
  tsbuild gc --all
  tsbuild gc --filter until=48h --filter type=exec.cachemount
  tsbuild gc --max-used-space 20gb --dry-run`,
    );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<GcOptions>();
  const said = prunePolicies(options);
  const store = await cli.openStore(options.store, { freeing: true });
  const policies = said ?? gcSettings(cli.env, store).policies ?? undefined;
  if (options.dryRun || options.verbose) tellWhy(cli, await judgeCache(store, policies));
  if (options.dryRun) {
    cli.out(`would remove ${counted(await planGarbage(store, policies))}\n`);
    return 0;
  }
  const host = await cli.openHost();
  cli.out(
    `removed ${counted(await collectGarbage(store, { policies, host, quarantine: options.quarantine }))} freed\n`,
  );
  return 0;
}

function tellWhy(cli: Cli, verdicts: readonly Verdict[]): void {
  if (verdicts.length === 0) return;
  const rows = verdicts.map(({ entry, removed, why }) => [
    removed ? 'remove' : 'keep',
    shortId(entry.id),
    entry.type,
    ago(entry.usedMs),
    why,
    entry.description,
  ]);
  cli.out(`${table(['', 'ID', 'TYPE', 'LAST USED', 'WHY', 'WHAT'], rows)}\n`);
}

function counted({ images, layers, blobs, trees, cacheRecords, cacheMounts, bytes }: Freed): string {
  const caches = cacheMounts === 0 ? '' : `, ${cacheMounts} cache mount${cacheMounts === 1 ? '' : 's'}`;
  const counts = `${images} images, ${layers} layers, ${trees} trees, ${blobs} blobs, ${cacheRecords} cache records`;
  return `${counts}${caches}: ${humanBytes(bytes)}`;
}
