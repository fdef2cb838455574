import type { Command } from 'commander';
import { type Cli, UsageError } from './cli.js';
import {
  addEntryOptions,
  annotationsOf,
  changeList,
  describer,
  type EntryFlags,
  entryNamed,
  openList,
} from './manifest-list.js';

export function configure(command: Command): void {
  command
    .argument('<list>', 'name of the list')
    .argument('[image]', "one of its images: (the start of) its digest, its name in the store, or 'os/arch'")
    .option('--index', 'annotate the list itself');
  addEntryOptions(command);
  command.addHelpText(
    'after',
    '\nexamples:\n  tsbuild manifest annotate --variant v8 app:1 linux/arm64\n  tsbuild manifest annotate --index --annotation org.opencontainers.image.version=1 app:1',
  );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<EntryFlags & { index?: boolean; store?: string }>();
  const [list = '', image] = command.args;
  if ((image === undefined) !== (options.index === true)) {
    throw new UsageError('USAGE', {
      message: image === undefined ? 'no image of the list is named' : 'both --index and an image are given',
      hint: 'tsbuild manifest annotate LIST IMAGE annotates an image, --index the list',
    });
  }
  const store = await cli.openStore(options.store);
  const opened = await openList(store, list);
  const { index } = opened.index;
  if (image === undefined) {
    const annotations = { ...index.annotations, ...annotationsOf(options.annotation) };
    cli.out(`${await changeList(cli, store, opened, { annotations })}\n`);
    return 0;
  }
  const entry = entryNamed(store, list, opened.index, image);
  const describe = describer(options);
  const manifests = index.manifests.map((each) => (each === entry ? describe(each) : each));
  cli.out(`${await changeList(cli, store, opened, { manifests })}\n`);
  return 0;
}
