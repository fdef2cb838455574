import type { Command } from 'commander';
import { collectGarbage } from '#store';
import { type Cli, UsageError } from './cli.js';
import { humanBytes } from './table.js';

const dayMs = 86_400_000;

export function configure(command: Command): void {
  command
    .option('--keep-days <days>', 'keep what the build cache used within so many days', '30')
    .option('-a, --all', 'keep nothing for the build cache')
    .addHelpText('after', '\nexample:\n  tsbuild gc --all');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<{ keepDays: string; all?: boolean; store?: string }>();
  const days = options.all ? 0 : Number(options.keepDays);
  if (!(days >= 0)) {
    throw new UsageError('USAGE', {
      message: `--keep-days ${options.keepDays} is no number of days`,
      hint: '--keep-days 7',
    });
  }
  const store = await cli.openStore(options.store, { freeing: true });
  const host = await cli.openHost();
  const freed = await collectGarbage(store, { keepCacheMs: days * dayMs, host });
  const { images, layers, blobs, trees, cacheRecords, bytes } = freed;
  const counts = `${images} images, ${layers} layers, ${trees} trees, ${blobs} blobs, ${cacheRecords} cache records`;
  cli.out(`removed ${counts}: ${humanBytes(bytes)} freed\n`);
  return 0;
}
