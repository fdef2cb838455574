import type { Command } from 'commander';
import { familiarName, formatReference, openLease, parseReference, pullImage, tagImage } from '#store';
import { hostPlatform, parsePlatform, requirePlatform } from '../platform/index.js';
import type { Cli } from './cli.js';
import { transferProgress } from './transfer.js';

export function configure(command: Command): void {
  command
    .argument('<name>', 'image in a registry: localhost:5000/app:1, debian:bookworm')
    .option('--platform <os/arch[/variant]>', "which image of an index (default: this machine's)")
    .option('--plain-http', 'speak plain HTTP to a registry that is not on this machine')
    .option('-q, --quiet', 'print the image digest only')
    .addHelpText('after', '\nexample:\n  tsbuild pull localhost:5000/app:1');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<{ platform?: string; plainHttp?: boolean; quiet?: boolean; store?: string }>();
  const reference = parseReference(command.args[0] ?? '');
  const name = familiarName(formatReference(reference));
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
  const store = await cli.openStore(options.store);
  const lease = await openLease(store, `pull ${name}`);
  try {
    const image = await pullImage(store, lease, reference, {
      platform,
      plainHttp: options.plainHttp === true,
      onProgress: transferProgress(cli, options.quiet === true),
      check: (config) => requirePlatform({ ref: name, platform: config }, platform),
    });
    if (reference.digest === undefined) tagImage(store, reference, image.digest);
    cli.out(options.quiet ? `${image.digest}\n` : `pulled ${name} ${image.digest}\n`);
    return 0;
  } finally {
    await lease.release();
  }
}
