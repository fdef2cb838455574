// tsbuild push: to a registry, an OCI layout or another store.
import { type Command, Option } from 'commander';
import { copyBetweenStores, exportLayout, type Lease, pushImage, pushIndex, type Store, tagImage } from '#store';
import { type Cli, UsageError } from './cli.js';
import { compressionLevel as parseLevel } from './level-option.js';
import { type OpenedImage, openImage } from './open-image.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';
import { storeAndName } from './store-address.js';
import { transferProgress } from './transfer.js';
import { underLease } from './under-lease.js';

interface PushOptions extends RegistryFlags {
  readonly compression?: 'gzip' | 'estargz' | 'zstd' | 'none';
  readonly compressionLevel?: number;
  readonly quiet?: boolean;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('<image>', 'name or digest')
    .argument(
      '[destination]',
      'REGISTRY/NAME:TAG, oci-layout://DIR[:tag] or store://DIR[/NAME:TAG] (default: the image’s own name)',
    )
    .addOption(
      new Option('--compression <kind>', 'of the layers (default: gzip to registries, none elsewhere)').choices([
        'gzip',
        'estargz',
        'zstd',
        'none',
      ]),
    )
    .addOption(
      new Option('--compression-level <n>', 'how hard to compress: gzip 0 to 9, zstd 1 to 22').argParser(parseLevel),
    )
    .option('-q, --quiet', 'print the digest only');
  addRegistryOptions(command);
  command.addHelpText(
    'after',
    '\nexamples:\n  tsbuild push app:1 localhost:5000/app:1\n  tsbuild push app:1 oci-layout:///tmp/out:1\n  tsbuild push app:1 store:///srv/tsbuild',
  );
}

export const elsewhere = passwordsElsewhere;
export { registrySwitches as prepare } from './registry-options.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<PushOptions>();
  const [name = '', destination = name] = command.args;
  const store = await cli.openStore(options.store);
  await underLease(cli, store, `push ${name}`, async (lease) => {
    const opened = await openImage(store, name);
    const digest = await send(cli, store, lease, opened, name, destination, options);
    cli.out(options.quiet ? `${digest}\n` : `pushed ${name} to ${destination} ${digest}\n`);
  });
  return 0;
}

async function send(
  cli: Cli,
  store: Store,
  lease: Lease,
  opened: OpenedImage,
  name: string,
  destination: string,
  options: PushOptions,
): Promise<string> {
  const { image, index } = opened;
  const onProgress = transferProgress(cli, options.quiet === true);
  const { compression, compressionLevel } = options;
  if (index !== undefined && (compression !== undefined || compressionLevel !== undefined)) {
    throw new UsageError('USAGE', {
      message: `${name} is an index: what is attested about its image names the compressed layers`,
      hint: 'leave --compression out, or build with the compression that it should have',
    });
  }
  const access = registryOptions(options);
  const [, scheme, rest = ''] = /^(oci-layout|oci|store):(?:\/\/)?(.+)$/.exec(destination) ?? [];
  if (scheme === 'store') {
    if (compression)
      throw new UsageError('USAGE', { message: 'a store keeps layers uncompressed', hint: 'leave --compression out' });
    return copyTo(cli, store, opened, destination, name);
  }
  if (scheme !== undefined) {
    const { dir, tag } = layoutTarget(rest);
    return exportLayout(store, lease, image, dir, {
      compression: compression ?? 'none',
      level: compressionLevel,
      index,
      tag,
      onProgress,
      signal: cli.signal,
    });
  }
  if (index !== undefined) {
    const { descriptor } = await pushIndex(store, lease, index, destination, { ...access, onProgress });
    return descriptor.digest;
  }
  const sent = { compression, level: compressionLevel, ...access, onProgress };
  const { manifest } = await pushImage(store, lease, image, destination, sent);
  return manifest.descriptor.digest;
}

/** 'DIR:tag'; a colon belongs to the directory if a slash follows it. */
function layoutTarget(text: string): { dir: string; tag: string | undefined } {
  const [, dir, tag] = /^(.+?)(?::([^/:]+))?$/.exec(text) ?? [];
  return { dir: dir ?? text, tag };
}

async function copyTo(
  cli: Cli,
  from: Store,
  { image, index }: OpenedImage,
  destination: string,
  name: string,
): Promise<string> {
  const { dir, name: newName } = storeAndName(destination);
  const to = await cli.openStore(dir);
  return underLease(cli, to, `copy of ${name}`, async (lease) => {
    const digest = index?.descriptor.digest ?? image.digest;
    await copyBetweenStores(from, to, lease, digest);
    const tag = newName ?? (/^(sha256:)?[0-9a-f]{12,64}$/.test(name) ? null : name);
    if (tag !== null) tagImage(to, tag, digest);
    return digest;
  });
}
