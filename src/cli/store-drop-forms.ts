import type { Command } from 'commander';
import { dropForms } from '#store';
import type { Cli } from './cli.js';
import { humanBytes } from './table.js';

export function configure(command: Command): void {
  command.addHelpText(
    'after',
    `
A layer is kept as its tar; its index and its unpacked tree are made from it, and made again by the next command that needs
them. Those of layers in use stay.

example:
  tsbuild store drop-forms`,
  );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const store = await cli.openStore(command.opts<{ readonly store?: string }>().store, { freeing: true });
  const { indexes, trees, inUse, bytes } = await dropForms(store, await cli.openHost());
  const kept = inUse === 0 ? '' : `, those of ${inUse} layers are in use`;
  cli.out(`dropped ${indexes} indexes and ${trees} trees: ${humanBytes(bytes)} freed${kept}\n`);
  return 0;
}
