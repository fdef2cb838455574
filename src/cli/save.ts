import { type Command, Option } from 'commander';
import { type Platform, saveArchive } from '#store';
import { type Cli, UsageError } from './cli.js';
import { openImage, openWhole } from './open-image.js';
import { platformOption } from './platform-option.js';
import { underReadingLease } from './under-lease.js';

interface SaveOptions {
  readonly output?: string;
  readonly format: 'docker-archive' | 'oci-archive';
  readonly compression?: 'gzip' | 'estargz' | 'zstd' | 'none';
  readonly platform?: Platform;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('<image...>', 'names or digests')
    .option('-o, --output <file>', 'file to write (default: standard output)')
    .addOption(
      new Option('--format <kind>', 'kind of archive')
        .choices(['docker-archive', 'oci-archive'])
        .default('docker-archive'),
    )
    .addOption(
      new Option('--compression <kind>', 'of the layers in an oci-archive').choices([
        'gzip',
        'estargz',
        'zstd',
        'none',
      ]),
    )
    .addOption(platformOption())
    .addHelpText(
      'after',
      '\nexamples:\n  tsbuild save -o app.tar app:1\n  tsbuild save --format oci-archive app:1 | ssh host podman load',
    );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<SaveOptions>();
  if (options.output === undefined && process.stdout.isTTY) {
    throw new UsageError('USAGE', {
      message: 'an archive is nothing for a terminal',
      hint: 'write it to a file with -o, or into a pipe',
    });
  }
  const store = await cli.openStore(options.store);
  await underReadingLease(cli, store, 'save', async (lease) => {
    const images = [];
    for (const text of command.args) {
      const { name, digest: _, ...whole } = await openWhole(store, text);
      const one = options.platform !== undefined || options.format === 'docker-archive';
      const opened = one ? { image: await openImage(cli, store, text, options.platform) } : whole;
      images.push({ ...opened, names: name === null ? [] : [name] });
    }
    await saveArchive(store, lease, images, options.output ?? process.stdout, {
      format: options.format,
      compression: options.compression ?? 'none',
      signal: cli.signal,
    });
  });
  return 0;
}
