import { type Command, Option } from 'commander';
import { listImages, readImage } from '#store';
import { formatPlatform, hostPlatform } from '../platform/index.js';
import type { Cli } from './cli.js';
import { ago, humanBytes, table } from './table.js';

export function configure(command: Command): void {
  command
    .option('-a, --all', 'images without a name too')
    .option('-q, --quiet', 'digests only')
    .option('--no-trunc', 'whole digests')
    .addOption(new Option('--format <kind>', 'how to print').choices(['table', 'json']).default('table'))
    .addHelpText('after', '\nexample:\n  tsbuild images');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<{ all?: boolean; quiet?: boolean; trunc: boolean; format: string; store?: string }>();
  const store = await cli.openStore(options.store);
  const images = listImages(store).filter((image) => options.all || image.names.length > 0);
  if (options.format === 'json') {
    for (const image of images) cli.out(`${JSON.stringify(image)}\n`);
    return 0;
  }
  const shorten = (digest: string): string => (options.trunc ? digest.slice('sha256:'.length).slice(0, 12) : digest);
  if (options.quiet) {
    for (const image of images) cli.out(`${shorten(image.digest)}\n`);
    return 0;
  }
  const rows: string[][] = [];
  for (const image of images) {
    const { config } = await readImage(store, image.digest, { platform: hostPlatform() });
    const facts = [shorten(image.digest), formatPlatform(config), ago(image.createdMs), humanBytes(image.sizeBytes)];
    for (const name of image.names.length > 0 ? image.names : ['<none>']) rows.push([...splitName(name), ...facts]);
  }
  cli.out(table(['REPOSITORY', 'TAG', 'IMAGE ID', 'PLATFORM', 'CREATED', 'SIZE'], rows));
  return 0;
}

function splitName(name: string): [string, string] {
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? [name.slice(0, colon), name.slice(colon + 1)] : [name, '<none>'];
}
