import type { Command } from 'commander';
import type { Cli } from './cli.js';
import { changeList, entryNamed, openList } from './manifest-list.js';

export function configure(command: Command): void {
  command
    .argument('<list>', 'name of the list')
    .argument('<image...>', "its images: (the start of) their digests, their names in the store, or 'os/arch'")
    .addHelpText('after', '\nexample:\n  tsbuild manifest remove app:1 linux/arm64');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const [list = '', ...images] = command.args;
  const store = await cli.openStore(command.opts<{ store?: string }>().store);
  const opened = await openList(store, list);
  const gone = new Set<string>(images.map((text) => entryNamed(store, list, opened.index, text).digest));
  // What is attested about an image goes with it.
  const manifests = opened.index.index.manifests.filter(
    ({ digest, annotations }) => !gone.has(digest) && !gone.has(annotations?.['vnd.docker.reference.digest'] ?? ''),
  );
  cli.out(`${await changeList(cli, store, opened, { manifests })}\n`);
  return 0;
}
