// Options that say how much of the build cache stays, as docker buildx prune has them → a policy.
import { type Command, Option } from 'commander';
import type { PrunePolicy } from '#store';
import { cacheFilter } from './cache-filter.js';
import { collect, UsageError } from './cli.js';
import { byteSize, durationMs } from './quantities.js';

export interface PruneOptions {
  readonly all?: boolean;
  readonly filter?: readonly string[];
  readonly keepDays?: string;
  readonly keepDuration?: string;
  readonly keepStorage?: string;
  readonly maxUsedSpace?: string;
  readonly minFreeSpace?: string;
  readonly reservedSpace?: string;
}

export function addPruneOptions(command: Command): void {
  command
    .option('-a, --all', 'keep nothing for the build cache but what is in use')
    .addOption(
      new Option(
        '--filter <filter>',
        'only these entries of the cache: id, type, description, until, inuse, shared, …',
      ).argParser<readonly string[]>(collect),
    )
    .option('--keep-days <days>', 'keep what was used within so many days (default: 30)')
    .option('--keep-duration <duration>', 'keep what was used within this time, such as 48h or 7d')
    .option('--max-used-space <size>', 'let the cache take no more than this, such as 10gb')
    .option('--min-free-space <size>', 'let so much of the disk be free')
    .option('--reserved-space <size>', 'keep so much of the cache in any case; alone, bring it down to this')
    .option('--keep-storage <size>', 'the same by its older name')
    .addOption(new Option('-f, --force', 'nothing is asked anyway').hideHelp());
}

/** Undefined where the options say nothing: then the store's own policy counts. @throws UsageError */
export function prunePolicies(options: PruneOptions): readonly PrunePolicy[] | undefined {
  const { all, filter, keepStorage, reservedSpace, maxUsedSpace, minFreeSpace } = options;
  const { matches, unusedForMs } = cacheFilter(filter ?? []);
  const size = (name: string, text: string | undefined) => (text === undefined ? undefined : byteSize(name, text));
  const policy: PrunePolicy = {
    matches,
    keepDurationMs: unusedForMs ?? keptMs(options),
    reservedSpace: size('--reserved-space', reservedSpace) ?? size('--keep-storage', keepStorage),
    maxUsedSpace: size('--max-used-space', maxUsedSpace),
    minFreeSpace: size('--min-free-space', minFreeSpace),
  };
  const says = filter ?? policy.keepDurationMs ?? policy.reservedSpace ?? policy.maxUsedSpace ?? policy.minFreeSpace;
  if (all === true) return [{ ...policy, keepDurationMs: unusedForMs }];
  return says === undefined ? undefined : [policy];
}

function keptMs({ keepDays, keepDuration }: PruneOptions): number | undefined {
  if (keepDuration !== undefined) return durationMs('--keep-duration', keepDuration);
  if (keepDays === undefined) return undefined;
  const days = Number(keepDays);
  if (days >= 0) return days * 86_400_000;
  throw new UsageError('USAGE', { message: `--keep-days ${keepDays} is no number of days`, hint: '--keep-days 7' });
}
