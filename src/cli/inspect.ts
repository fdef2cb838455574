import type { Command } from 'commander';
import { familiarName, listTags } from '#store';
import type { Cli } from './cli.js';
import { openImage } from './open-image.js';

export function configure(command: Command): void {
  command.argument('<image...>', 'names or digests').addHelpText('after', '\nexample:\n  tsbuild inspect app:1');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const store = await cli.openStore(command.opts<{ store?: string }>().store);
  const shown = [];
  for (const name of command.args) {
    const { image, index } = await openImage(store, name);
    const id = index?.descriptor.digest ?? image.digest;
    const names = listTags(store).filter((tag) => tag.digest === id);
    shown.push({
      Id: id,
      RepoTags: names.map((tag) => familiarName(tag.reference)),
      Architecture: image.config.architecture,
      ...(image.config.variant === undefined ? {} : { Variant: image.config.variant }),
      Os: image.config.os,
      Created: image.config.created,
      Size: image.layers.reduce((sum, layer) => sum + layer.size, 0),
      Config: image.config.config ?? {},
      RootFS: { Type: 'layers', Layers: image.layers.map((layer) => layer.diffId) },
      ...(index === undefined ? {} : { Index: index.index }),
      Manifest: image.manifest,
    });
  }
  cli.out(`${JSON.stringify(shown, null, 2)}\n`);
  return 0;
}
