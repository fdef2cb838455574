import type { Command } from 'commander';
import { findImage, parseReference, tagImage } from '#store';
import type { Cli } from './cli.js';
import { nearestNamed } from './open-image.js';

export function configure(command: Command): void {
  command
    .argument('<image>', 'name or digest')
    .argument('<name...>', 'new names')
    .addHelpText('after', '\nexample:\n  tsbuild tag app:1 localhost:5000/app:1');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const [image = '', ...names] = command.args;
  const store = await cli.openStore(command.opts<{ store?: string }>().store);
  const references = names.map((name) => parseReference(name)); // all of them are names, or none is given
  const { digest } = await nearestNamed(store, image, () => findImage(store, image));
  for (const reference of references) tagImage(store, reference, digest);
  return 0;
}
