import type { Command } from 'commander';
import { familiarName, removeImage } from '#store';
import type { Cli } from './cli.js';
import { nearestNamed } from './open-image.js';

export function configure(command: Command): void {
  command
    .argument('<image...>', 'names or digests')
    .option('-f, --force', 'remove an image given by digest together with all its names')
    .addHelpText('after', '\nexample:\n  tsbuild rmi app:1 && tsbuild gc');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<{ force?: boolean; store?: string }>();
  const store = await cli.openStore(options.store);
  for (const name of command.args) {
    const remove = () => removeImage(store, name, { force: options.force === true });
    const { untagged, deleted } = await nearestNamed(store, name, remove);
    for (const reference of untagged) cli.out(`Untagged: ${familiarName(reference)}\n`);
    if (deleted !== null) cli.out(`Deleted: ${deleted}\n`);
  }
  return 0;
}
