import type { Command } from 'commander';
import { parsePlatform } from '../platform/index.js';
import { type Cli, collect } from './cli.js';
import { type CreateFlags, makeList } from './manifest-create.js';
import { addEntryOptions, describer, type EntryFlags, openList, openPart } from './manifest-list.js';
import { addRegistryOptions, passwordsElsewhere, registryOptions } from './registry-options.js';
import { addTransferOptions } from './transfer.js';

export function configure(command: Command): void {
  command
    .argument('<list>', 'name of the list')
    .argument('<image...>', 'NAME in the store, docker://NAME, oci:DIR[:tag], …; of an index all of its images')
    .option('--all', 'all images of an index, as is done anyway')
    .option('--platform <os/arch[/variant],...>', 'only the images for these', collect);
  addEntryOptions(command);
  addTransferOptions(command);
  addRegistryOptions(command);
  command.addHelpText('after', '\nexample:\n  tsbuild manifest add app:1 docker://localhost:5000/app:1-arm64');
}

export const elsewhere = passwordsElsewhere;
export { registrySwitches as prepare } from './registry-options.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const { annotation, ...options } = command.opts<CreateFlags & EntryFlags>();
  const [list = '', ...images] = command.args;
  const describe = describer({ ...options, ...(annotation && { annotation }) });
  const platforms = options.platform?.flatMap((text) => text.split(',')).map((text) => parsePlatform(text.trim()));
  await openList(await cli.openStore(options.store), list);
  const digest = await makeList(cli, list, { ...options, amend: true }, async (ends, onProgress) => {
    const opening = { store: options.store, access: registryOptions(options), onProgress };
    return Promise.all(
      images.map(async (text) => ({ source: await openPart(ends, text, opening), platforms, describe })),
    );
  });
  cli.out(options.quiet ? `${digest}\n` : `added to ${list} ${digest}\n`);
  return 0;
}
