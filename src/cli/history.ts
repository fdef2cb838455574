import type { Command } from 'commander';
import { imageHistory, type Platform } from '#store';
import type { Cli } from './cli.js';
import { openImage } from './open-image.js';
import { platformOption } from './platform-option.js';
import { ago, humanBytes, table } from './table.js';

const shownColumns = 60;

export function configure(command: Command): void {
  command
    .argument('<image>', 'name or digest')
    .option('--no-trunc', 'whole commands')
    .addOption(platformOption())
    .addHelpText('after', '\nexample:\n  tsbuild history app:1');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<{ trunc: boolean; platform?: Platform; store?: string }>();
  const store = await cli.openStore(options.store);
  const image = await openImage(cli, store, command.args[0] ?? '', options.platform);
  const rows = imageHistory(image).map(({ entry, layer }) => {
    const by = (entry.created_by ?? entry.comment ?? '').replace(/\s+/g, ' ');
    return [
      layer ? layer.diffId.slice('sha256:'.length).slice(0, 12) : '<none>',
      entry.created ? ago(Date.parse(entry.created)) : '',
      options.trunc && by.length > shownColumns ? `${by.slice(0, shownColumns - 1)}…` : by,
      humanBytes(layer?.size ?? 0),
    ];
  });
  cli.out(table(['LAYER', 'CREATED', 'CREATED BY', 'SIZE'], rows));
  return 0;
}
