import type { Command } from 'commander';
import { findImage, tagImage } from '#store';
import type { Cli } from './cli.js';

export function configure(command: Command): void {
  command
    .argument('<image>', 'name or digest')
    .argument('<name...>', 'new names')
    .addHelpText('after', '\nexample:\n  tsbuild tag app:1 localhost:5000/app:1');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const [image = '', ...names] = command.args;
  const store = await cli.openStore(command.opts<{ store?: string }>().store);
  const { digest } = findImage(store, image);
  for (const name of names) tagImage(store, name, digest);
  return 0;
}
