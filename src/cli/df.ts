import { type Command, Option } from 'commander';
import { diskUsage, familiarName } from '#store';
import type { Cli } from './cli.js';
import { humanBytes, table } from './table.js';

export function configure(command: Command): void {
  command
    .addOption(new Option('--format <kind>', 'how to print').choices(['table', 'json']).default('table'))
    .addHelpText('after', '\nexample:\n  tsbuild df');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<{ format: string; store?: string }>();
  const usage = diskUsage(await cli.openStore(options.store));
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
    ['other', usage.otherBytes],
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
