import type { Command } from 'commander';
import { familiarName, loadArchive, tagImage } from '#store';
import { hostPlatform, parsePlatform } from '../platform/index.js';
import { openAutomaticGc } from './automatic-gc.js';
import type { Cli } from './cli.js';
import { underLease } from './under-lease.js';

export function configure(command: Command): void {
  command
    .option('-i, --input <file>', 'archive to read (default: standard input)')
    .option('--platform <os/arch[/variant]>', "which image of an index (default: this machine's)")
    .option('-q, --quiet', 'print digests only')
    .addHelpText('after', '\nexample:\n  tsbuild load -i app.tar');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<{ input?: string; platform?: string; quiet?: boolean; store?: string }>();
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
  const store = await cli.openStore(options.store);
  const collectGarbage = openAutomaticGc(cli, store);
  await underLease(cli, store, 'load', async (lease) => {
    for (const { digest, names } of await loadArchive(store, lease, options.input ?? process.stdin, { platform })) {
      for (const name of names) tagImage(store, name, digest);
      const shown = names.map(familiarName).join(', ') || 'an image without a name';
      cli.out(options.quiet ? `${digest}\n` : `loaded ${shown} ${digest}\n`);
    }
  });
  await collectGarbage();
  return 0;
}
