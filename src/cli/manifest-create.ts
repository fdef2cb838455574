// tsbuild manifest create and add: a list of images of several platforms, in the store or where it is to be.
import type { Command } from 'commander';
import {
  copyImage,
  type Digest,
  type JoinedPart,
  joinImages,
  type OnProgress,
  openStoreSource,
  readIndex,
  resolveTag,
  type Store,
  StoreError,
} from '#store';
import { unlessInterrupted } from '../base/index.js';
import { parsePlatform } from '../platform/index.js';
import { type Cli, collect } from './cli.js';
import { parseAddress } from './image-address.js';
import { annotationsOf, openPart } from './manifest-list.js';
import { Ends, openDestination } from './open-address.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';
import { addTransferOptions, type TransferFlags, withTransferReport } from './transfer.js';

export interface CreateFlags extends RegistryFlags, TransferFlags {
  readonly amend?: boolean;
  readonly annotation?: readonly string[];
  readonly platform?: readonly string[];
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('<list>', 'NAME in the store; docker://NAME or oci:DIR to make it there, without the store')
    .argument('[image...]', 'NAME in the store, docker://NAME, oci:DIR[:tag], …; of an index all of its images')
    .option('-a, --amend', 'add to the list if there is one')
    .option('--all', 'all images of an index, as is done anyway')
    .option('--annotation <key=value>', 'annotation of the list', collect)
    .option('--platform <os/arch[/variant],...>', 'only the images for these', collect);
  addTransferOptions(command);
  addRegistryOptions(command);
  command.addHelpText(
    'after',
    `
Images of registries are fetched whole, and kept packed; a list that is made in a registry takes them from there.

examples:
  tsbuild manifest create app:1 app:1-amd64 docker://localhost:5000/app:1-arm64
  tsbuild manifest create docker://localhost:5000/app:1 docker://localhost:5000/app:1-amd64 docker://localhost:5000/app:1-arm64`,
  );
}

export const elsewhere = passwordsElsewhere;
export { registrySwitches as prepare } from './registry-options.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<CreateFlags>();
  const [list = '', ...images] = command.args;
  const platforms = options.platform?.flatMap((text) => text.split(',')).map((text) => parsePlatform(text.trim()));
  const digest = await makeList(cli, list, options, async (ends, onProgress) => {
    const opening = { store: options.store, access: registryOptions(options), onProgress };
    const parts: JoinedPart[] = [];
    for (const text of images) parts.push({ source: await openPart(ends, text, opening), platforms });
    return parts;
  });
  cli.out(options.quiet ? `${digest}\n` : `created ${list} ${digest}\n`);
  return 0;
}

/** Makes the list, of what it has (with --amend) and of the parts. */
export async function makeList(
  cli: Cli,
  list: string,
  options: CreateFlags,
  openParts: (ends: Ends, onProgress: OnProgress) => Promise<readonly JoinedPart[]>,
): Promise<Digest> {
  const address = parseAddress(list);
  const ends = new Ends(cli);
  try {
    return await withTransferReport(cli, options, async ({ onProgress, expect }) => {
      const opening = { store: options.store, access: registryOptions(options), onProgress };
      const known =
        address.transport === 'store' && address.name !== null
          ? await knownList(
              await cli.openStore(address.dir ?? options.store),
              address.name,
              options.amend === true,
              ends,
            )
          : null;
      const parts = await openParts(ends, onProgress);
      const annotations = { ...known?.annotations, ...annotationsOf(options.annotation) };
      const joined = await joinImages(list, known === null ? parts : [known.part, ...parts], annotations);
      const target = await openDestination(ends, address, list, undefined, opening);
      const making = copyImage(joined, target, { onProgress, onLayers: expect, signal: cli.signal });
      return (await unlessInterrupted(making, cli.signal)).descriptor.digest;
    });
  } finally {
    await ends.close();
  }
}

/** @throws StoreError MANIFEST_EXISTS, MANIFEST_NO_LIST */
async function knownList(
  store: Store,
  name: string,
  amend: boolean,
  ends: Ends,
): Promise<{ part: JoinedPart; annotations: Readonly<Record<string, string>> } | null> {
  const digest = resolveTag(store, name);
  if (digest === null) return null;
  if (!amend) {
    throw new StoreError('MANIFEST_EXISTS', {
      message: `${name} exists already`,
      hint: 'add to it with --amend, or remove it first: tsbuild manifest rm',
    });
  }
  const index = await readIndex(store, digest);
  if (index === null) {
    throw new StoreError('MANIFEST_NO_LIST', {
      message: `${name} is one image, not a list of them`,
      hint: 'give the list another name',
    });
  }
  const lease = await ends.lease(store, `change of ${name}`);
  return { part: { source: openStoreSource(store, lease, digest, name) }, annotations: index.index.annotations ?? {} };
}
