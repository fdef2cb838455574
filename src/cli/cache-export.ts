import { type Command, Option } from 'commander';
import { type ArchiveCompression, holdCacheMount, openLease, StoreError, saveCacheMount } from '#store';
import { unlessInterrupted } from '../base/index.js';
import { cacheMountNamed } from './cache-mount-named.js';
import { type Cli, UsageError } from './cli.js';
import { humanBytes } from './table.js';

interface ExportOptions {
  readonly compression?: ArchiveCompression;
  readonly id?: string;
  readonly output?: string;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('[cache]', 'its id or name, as with --id')
    .option('--id <id>', 'its id: what the mount says, else its target')
    .option(
      '-o, --output <file>',
      'file to write; .tar.zst, .tar.gz and .tgz are compressed (default: standard output)',
    )
    .addOption(new Option('--compression <kind>', 'whatever the name says').choices(['none', 'gzip', 'zstd']))
    .addHelpText(
      'after',
      '\nexamples:\n  tsbuild cache export --id npm -o npm.tar.zst\n  tsbuild cache export --id npm | ssh host tsbuild cache import --id npm -',
    );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<ExportOptions>();
  const id = cacheId(options.id, command.args[0], 'tsbuild cache export --id npm -o npm.tar.zst');
  const output = options.output === '-' ? undefined : options.output;
  if (output === undefined && process.stdout.isTTY) {
    throw new UsageError('USAGE', {
      message: 'an archive is nothing for a terminal',
      hint: 'write it to a file with -o, or into a pipe',
    });
  }
  const store = await cli.openStore(options.store);
  const { name } = await cacheMountNamed(store, id);
  const host = await cli.openHost();
  const lease = await openLease(store, `export of cache ${id}`, () => host);
  try {
    const wait = { signal: cli.signal, onBusy: busyTeller(cli, id) };
    const use = await holdCacheMount(store, name, wait);
    if (use === null) throw new StoreError('CACHE_NOT_FOUND', { message: `the cache ${id} was removed meanwhile` });
    try {
      const choice = { compression: options.compression ?? compressionOf(output ?? ''), signal: cli.signal };
      const saving = saveCacheMount(store, lease, host, use.dir, output ?? process.stdout, choice);
      const bytes = await unlessInterrupted(saving, cli.signal);
      if (output !== undefined) cli.err(`exported ${id}: ${humanBytes(bytes)} of files\n`);
    } finally {
      use.release();
    }
  } finally {
    await lease.release();
  }
  return 0;
}

function compressionOf(file: string): ArchiveCompression {
  if (/\.(zst|tzst)$/.test(file)) return 'zstd';
  return /\.(gz|tgz)$/.test(file) ? 'gzip' : 'none';
}

/** @throws UsageError for none, or two that differ */
export function cacheId(option: string | undefined, word: string | undefined, example: string): string {
  const id = option ?? word;
  if (id !== undefined && (word === undefined || word === id)) return id;
  throw new UsageError('USAGE', {
    message: id === undefined ? 'which cache is not said' : `two caches are named: ${option} and ${word}`,
    hint: `as in ${example}`,
  });
}

/** Says once that a step has the cache. */
export function busyTeller(cli: Cli, id: string): () => void {
  let told = false;
  return () => {
    if (!told) cli.err(`waiting for the cache ${id}, which a step uses\n`);
    told = true;
  };
}
