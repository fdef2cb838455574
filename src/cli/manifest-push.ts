// tsbuild manifest push: a list with all its images.
import { type Command, Option } from 'commander';
import { convertImages, copyImage, parseReference, removeImage } from '#store';
import { unlessInterrupted } from '../base/index.js';
import type { Cli } from './cli.js';
import { type ImageAddress, parseAddress } from './image-address.js';
import { openList } from './manifest-list.js';
import { Ends, openDestination, openSource } from './open-address.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';
import { addTransferOptions, type TransferFlags, withTransferReport } from './transfer.js';
import { writeResult } from './write-result.js';

interface PushFlags extends RegistryFlags, TransferFlags {
  readonly format?: 'oci' | 'v2s2';
  readonly digestfile?: string;
  readonly rm?: boolean;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('<list>', 'name of the list')
    .argument('[destination]', 'NAME in a registry, oci:DIR[:tag], oci-archive:FILE, … (default: its own name)')
    .option('--all', 'all of its images, as is done anyway')
    .addOption(new Option('-f, --format <kind>', 'media types of the documents').choices(['oci', 'v2s2']))
    .option('--digestfile <file>', 'write the digest at the destination to a file')
    .option('--rm', 'remove the list afterwards')
    .addOption(new Option('-p, --purge', "docker's word for --rm").hideHelp());
  addTransferOptions(command);
  addRegistryOptions(command);
  command.addHelpText(
    'after',
    `
Layers that are not compressed are compressed with gzip for a registry, and the list names what is there.

examples:
  tsbuild manifest push app:1 localhost:5000/app:1
  tsbuild manifest push app:1 oci:/tmp/app:1`,
  );
}

export const elsewhere = passwordsElsewhere;
export { registrySwitches as prepare } from './registry-options.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<PushFlags & { purge?: boolean }>();
  const [list = '', to = list] = command.args;
  const destination = pushAddress(to);
  const store = await cli.openStore(options.store);
  const { index } = await openList(store, list);
  const ends = new Ends(cli);
  try {
    const digest = await withTransferReport(cli, options, async ({ onProgress, expect }) => {
      const opening = { store: options.store, access: registryOptions(options), onProgress };
      const source = await openSource(ends, { transport: 'store', dir: options.store, name: list }, opening);
      const target = await openDestination(ends, destination, to, undefined, opening);
      const types = options.format === 'v2s2' ? 'docker' : options.format;
      const compression = target.wantsCompressed ? ('gzip' as const) : undefined;
      const pushing = copyImage(source, target, {
        onProgress,
        onLayers: expect,
        signal: cli.signal,
        convert: (plan, from) => convertImages(plan, from, { types, compression, onlyPlain: true }, ends, onProgress),
      });
      return (await unlessInterrupted(pushing, cli.signal)).descriptor.digest;
    });
    if (options.digestfile !== undefined) writeResult('--digestfile', options.digestfile, digest);
    if (options.rm || options.purge) removeImage(store, list);
    const what = `${index.index.manifests.length} entries`;
    cli.out(options.quiet ? `${digest}\n` : `pushed ${list} (${what}) to ${to} ${digest}\n`);
  } finally {
    await ends.close();
  }
  return 0;
}

/** A name by itself is one of a registry: it is to be pushed. */
function pushAddress(text: string): ImageAddress {
  if (/^(docker|oci|oci-layout|oci-archive|docker-archive|dir|store):/.test(text)) return parseAddress(text);
  return { transport: 'docker', reference: parseReference(text) };
}
