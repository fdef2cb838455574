// tsbuild inspect: what an image says of itself, in the store or elsewhere.
import { type Command, Option } from 'commander';
import {
  type Digest,
  type DocumentSource,
  familiarName,
  findLayer,
  type InspectedImage,
  inspectImage,
  listTags,
  type Platform,
  type Store,
  StoreError,
  storeDocuments,
} from '#store';
import { hostPlatform } from '../platform/index.js';
import { type Cli, UsageError } from './cli.js';
import { type ImageAddress, parseAddress } from './image-address.js';
import { imageText } from './inspect-text.js';
import type { Inspection } from './inspection.js';
import { Ends, openSource, openStoreAt } from './open-address.js';
import { findNamed } from './open-image.js';
import { platformOption } from './platform-option.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';

interface InspectCommand extends RegistryFlags {
  readonly raw?: boolean;
  readonly config?: boolean;
  readonly format: 'json' | 'text';
  readonly platform?: Platform;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('<image...>', 'names or digests; docker://NAME, oci:DIR[:tag], … for images elsewhere')
    .option('--raw', 'the bytes of the manifest or index, as they are')
    .option('--config', 'the bytes of the config, as they are')
    .addOption(new Option('--format <kind>', 'how to print').choices(['json', 'text']).default('json'))
    .addOption(platformOption());
  addRegistryOptions(command);
  command.addHelpText(
    'after',
    '\nexamples:\n  tsbuild inspect app:1\n  tsbuild inspect --format text docker://localhost:5000/app:1\n  tsbuild inspect --raw oci:/tmp/out:1',
  );
}

export const elsewhere = passwordsElsewhere;
export { registrySwitches as prepare } from './registry-options.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<InspectCommand>();
  const verbatim = options.raw === true || options.config === true;
  if (verbatim && command.args.length > 1) {
    throw new UsageError('USAGE', { message: '--raw and --config print one document', hint: 'name one image' });
  }
  const shown: Inspection[] = [];
  const ends = new Ends(cli);
  try {
    for (const text of command.args) {
      const place = await openPlace(ends, text, options);
      if (verbatim) {
        cli.out(await documentText(place.source, options));
        return 0;
      }
      shown.push(await inspection(place, options.platform));
    }
  } finally {
    await ends.close();
  }
  cli.out(
    options.format === 'json' ? `${JSON.stringify(shown.map(asJson), null, 2)}\n` : shown.map(imageText).join('\n'),
  );
  return 0;
}

interface Place {
  readonly text: string;
  readonly source: DocumentSource;
  /** Where the image is in one. */
  readonly store: Store | null;
}

async function openPlace(ends: Ends, text: string, options: InspectCommand): Promise<Place> {
  const address: ImageAddress = parseAddress(text);
  if (address.transport !== 'store') {
    const opening = { store: options.store, access: registryOptions(options), onProgress: undefined };
    return { text, source: await openSource(ends, address, opening), store: null };
  }
  const { store, name } = await openStoreAt(ends.cli, address, options.store);
  const { digest } = await findNamed(store, name);
  return { text, source: storeDocuments(store, digest, name), store };
}

async function documentText(source: DocumentSource, { config, platform }: InspectCommand): Promise<string> {
  if (!config && platform === undefined) return (await source.root()).bytes.toString('utf8');
  const { image } = await inspectImage(source, platform ?? hostPlatform());
  return (config ? image.configBytes : image.manifestBytes).toString('utf8');
}

async function inspection({ text, source, store }: Place, platform: Platform | undefined): Promise<Inspection> {
  const { root, index, image } = await inspectAny(source, platform);
  const { digest } = root.descriptor;
  const names = store === null ? [] : listTags(store).filter((tag) => tag.digest === digest);
  return {
    name: text,
    names: names.map((tag) => familiarName(tag.reference)),
    root,
    index,
    image,
    sizeBytes: (image?.manifest.layers ?? []).reduce((sum, { size }, i) => {
      const diffId = image!.config.rootfs.diff_ids[i]!;
      return sum + (store === null ? size : (findLayer(store, diffId)?.size ?? size));
    }, 0),
  };
}

/** An index for other machines can be looked at all the same. */
async function inspectAny(
  source: DocumentSource,
  platform: Platform | undefined,
): Promise<Omit<InspectedImage, 'image'> & { readonly image: InspectedImage['image'] | null }> {
  try {
    return await inspectImage(source, platform ?? hostPlatform());
  } catch (error) {
    const isOther = error instanceof StoreError && error.code === 'PLATFORM_NOT_IN_INDEX';
    if (!isOther || platform !== undefined) throw error;
    const root = await source.root();
    return { root, index: JSON.parse(root.bytes.toString('utf8')), image: null };
  }
}

/** The fields that docker's inspect has, and the documents. */
function asJson({ root, names, image, index, sizeBytes }: Inspection): object {
  const id: Digest = root.descriptor.digest;
  if (image === null) return { Id: id, RepoTags: names, Index: index };
  const { config, manifest } = image;
  return {
    Id: id,
    RepoTags: names,
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    Created: config.created,
    Size: sizeBytes,
    Config: config.config ?? {},
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    ...(index === null ? {} : { Index: index }),
    Manifest: manifest,
  };
}
