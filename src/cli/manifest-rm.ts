import type { Command } from 'commander';
import { familiarName, removeImage } from '#store';
import type { Cli } from './cli.js';
import { openList } from './manifest-list.js';

export function configure(command: Command): void {
  command.argument('<list...>', 'names of lists').addHelpText('after', '\nexample:\n  tsbuild manifest rm app:1');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const store = await cli.openStore(command.opts<{ store?: string }>().store);
  for (const list of command.args) await openList(store, list); // all of them are lists, or none is removed
  for (const list of command.args) {
    for (const name of removeImage(store, list).untagged) cli.out(`untagged ${familiarName(name)}\n`);
  }
  return 0;
}
