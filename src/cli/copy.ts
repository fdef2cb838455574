// tsbuild copy: an image from anywhere to anywhere, without unpacking what need not be.
import { type Command, Option } from 'commander';
import {
  type Conversion,
  type Converted,
  type CopyOptions,
  type CopyPlan,
  convertImages,
  copyImage,
  type Digest,
  type ImageDestination,
  type ImageSource,
  type OnProgress,
  type PushOptions,
  pushImage,
  type Reference,
  type RegistryOptions,
  readImage,
  readIndex,
} from '#store';
import { unlessInterrupted } from '../base/index.js';
import { parsePlatform } from '../platform/index.js';
import { type Cli, collect, UsageError } from './cli.js';
import { type ImageAddress, parseAddress } from './image-address.js';
import { compressionLevel } from './level-option.js';
import { Ends, openDestination, openSource, openStoreAt } from './open-address.js';
import { findNamed } from './open-image.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';
import { addTransferOptions, type TransferFlags, withTransferReport } from './transfer.js';
import { writeResult } from './write-result.js';

interface CopyCommand extends RegistryFlags, TransferFlags {
  readonly all?: boolean;
  readonly platform?: readonly string[];
  readonly format?: 'oci' | 'v2s2';
  readonly compression?: 'gzip' | 'zstd' | 'none';
  readonly destCompress?: boolean;
  readonly destCompressFormat?: 'gzip' | 'zstd';
  readonly destDecompress?: boolean;
  readonly compressionLevel?: number;
  readonly forceCompression?: boolean;
  readonly preserveDigests?: boolean;
  readonly digestfile?: string;
  readonly srcAuthfile?: string;
  readonly destAuthfile?: string;
  readonly srcCertDir?: string;
  readonly destCertDir?: string;
  readonly srcPlainHttp?: boolean;
  readonly destPlainHttp?: boolean;
  readonly srcTlsVerify: boolean;
  readonly destTlsVerify: boolean;
  readonly store?: string;
}

export const elsewhere: Readonly<Record<string, string>> = {
  '--multi-arch': 'all of an index is copied unless --platform says otherwise',
  ...passwordsElsewhere,
  '--src-creds': passwordsElsewhere['--creds']!,
  '--dest-creds': passwordsElsewhere['--creds']!,
  '--sign-by': 'sign the image where it is, with a tool for that, such as cosign',
  '--override-arch': '--platform os/arch chooses one image of an index',
  '--override-os': '--platform os/arch chooses one image of an index',
};

export { registrySwitches as prepare } from './registry-options.js';

export function configure(command: Command): void {
  command
    .argument(
      '<source>',
      'docker://NAME, oci:DIR[:tag], oci-archive:FILE[:tag], docker-archive:FILE[:name], dir:DIR, or NAME in the store',
    )
    .argument('<destination>', 'the same; store://DIR/NAME is another store, FILE may be - in a pipe')
    .option('-a, --all', 'all images of an index, as is done anyway')
    .option(
      '--platform <os/arch[/variant],...>',
      'only the images for these; a single one comes without its index',
      collect,
    )
    .addOption(new Option('-f, --format <kind>', 'media types of the documents').choices(['oci', 'v2s2']))
    .addOption(
      new Option('--compression <kind>', 'of the layers (default: as they are)').choices(['gzip', 'zstd', 'none']),
    )
    .option('--compression-level <n>', 'how hard to compress: gzip 0 to 9, zstd 1 to 22', compressionLevel)
    .option('--force-compression', 'compress again what is compressed that way already')
    .addOption(new Option('--dest-compress', "skopeo's word for --compression gzip").hideHelp())
    .addOption(new Option('--dest-compress-format <kind>').choices(['gzip', 'zstd']).hideHelp())
    .addOption(new Option('--dest-compress-level <n>').argParser(compressionLevel).hideHelp())
    .addOption(new Option('--dest-decompress', "skopeo's word for --compression none").hideHelp())
    .option('--preserve-digests', 'fail rather than change a byte of a manifest')
    .option('--digestfile <file>', 'write the digest at the destination to a file');
  addRegistryOptions(command);
  for (const [end, what] of [
    ['src', 'source'],
    ['dest', 'destination'],
  ]) {
    command
      .option(`--${end}-authfile <file>`, `--authfile for the ${what} only`)
      .option(`--${end}-cert-dir <dir>`, `--cert-dir for the ${what} only`)
      .option(`--no-${end}-tls-verify`, `--tls-verify=false for the ${what} only`)
      .option(`--${end}-plain-http`, `--plain-http for the ${what} only`);
  }
  addTransferOptions(command);
  command.addHelpText(
    'after',
    `
An index is copied as a whole, byte for byte, with all its platforms and attestations.

examples:
  tsbuild copy docker://localhost:5000/app:1 docker://localhost:5000/team/app:1
  tsbuild copy docker://localhost:5000/app:1 oci:/tmp/app:1
  tsbuild copy --platform linux/arm64 docker://localhost:5000/app:1 docker-archive:app.tar:app:1
  tsbuild copy app:1 oci-archive:- | ssh host podman load`,
  );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<CopyCommand & { destCompressLevel?: number }>();
  const [from = '', to = ''] = command.args;
  const source = parseAddress(from);
  const destination = parseAddress(to);
  const platforms = options.platform?.flatMap((text) => text.split(',')).map((text) => parsePlatform(text.trim()));
  if (options.all && platforms !== undefined) {
    throw new UsageError('USAGE', { message: 'both --all and --platform are given', hint: 'leave one of them out' });
  }
  const conversion = conversionOf(options);
  const ends = new Ends(cli);
  try {
    const digest = await withTransferReport(cli, options, ({ onProgress, expect }) =>
      copyBetween(ends, options, { from, to, source, destination, platforms, conversion, onProgress, expect }),
    );
    if (options.digestfile !== undefined) writeResult('--digestfile', options.digestfile, digest);
    const say = 'file' in destination && destination.file === '-' ? cli.err : cli.out;
    say(options.quiet ? `${digest}\n` : `copied ${from} to ${to} ${digest}\n`);
  } finally {
    await ends.close();
  }
  return 0;
}

interface Copying {
  readonly from: string;
  readonly to: string;
  readonly source: ImageAddress;
  readonly destination: ImageAddress;
  readonly platforms: ReturnType<typeof parsePlatform>[] | undefined;
  readonly conversion: Conversion;
  readonly onProgress: OnProgress;
  readonly expect: CopyOptions['onLayers'];
}

/** @returns the digest at the destination */
async function copyBetween(ends: Ends, options: CopyCommand, copying: Copying): Promise<Digest> {
  const { to, source, destination, platforms, conversion, onProgress, expect } = copying;
  const common = { store: options.store, onProgress };
  const access = accessOf(options);
  if (source.transport === 'store' && destination.transport === 'docker' && !platforms && !options.preserveDigests) {
    const sending = { ...conversion, ...access.destination, onProgress };
    const digest = await pushStored(ends, source, options.store, destination.reference, sending);
    if (digest !== null) return digest;
  }
  const opened = await openSource(ends, source, { ...common, access: access.source });
  const target = await openDestination(ends, destination, to, nameAt(source), {
    ...common,
    access: access.destination,
  });
  const moving = copyImage(opened, target, {
    platforms,
    onProgress,
    onLayers: expect,
    signal: ends.cli.signal,
    preserveDigests: options.preserveDigests,
    convert: converter(opened, target, conversion, ends, onProgress),
  });
  return (await unlessInterrupted(moving, ends.cli.signal)).descriptor.digest;
}

/** How each end is reached: an option of its own goes before the one for both. */
function accessOf(options: CopyCommand): { source: RegistryOptions; destination: RegistryOptions } {
  const { plainHttp, authfile, certDir } = options;
  return {
    source: registryOptions({
      ...options,
      authfile: options.srcAuthfile ?? authfile,
      certDir: options.srcCertDir ?? certDir,
      plainHttp: plainHttp || options.srcPlainHttp,
      tlsVerify: options.tlsVerify && options.srcTlsVerify,
    }),
    destination: registryOptions({
      ...options,
      authfile: options.destAuthfile ?? authfile,
      certDir: options.destCertDir ?? certDir,
      plainHttp: plainHttp || options.destPlainHttp,
      tlsVerify: options.tlsVerify && options.destTlsVerify,
    }),
  };
}

/**
 * An image of the store goes to a registry as `push` sends it: its manifest here names layers as they lie, uncompressed. Null for
 * an index, which goes as it is.
 */
async function pushStored(
  ends: Ends,
  address: Extract<ImageAddress, { transport: 'store' }>,
  defaultStore: string | undefined,
  reference: Reference,
  options: PushOptions,
): Promise<Digest | null> {
  const { store, name } = await openStoreAt(ends.cli, address, defaultStore);
  const { digest } = await findNamed(store, name);
  const lease = await ends.readingLease(store, `copy of ${name}`);
  if ((await readIndex(store, digest)) !== null) return null;
  const image = await readImage(store, digest);
  const sending = pushImage(store, lease, image, reference, options);
  return (await unlessInterrupted(sending, ends.cli.signal)).manifest.descriptor.digest;
}

/** In a store that is given without a name, an image keeps the one it had. */
function nameAt(source: ImageAddress): string | undefined {
  if (source.transport === 'store') return source.name ?? undefined;
  if (source.transport !== 'docker' || source.reference.digest !== undefined) return undefined;
  const { registry, repository, tag } = source.reference;
  return `${registry}/${repository}:${tag}`;
}

/** @throws UsageError */
function conversionOf(options: CopyCommand & { destCompressLevel?: number }): Conversion {
  const words = [
    options.compression,
    options.destCompressFormat ?? (options.destCompress ? ('gzip' as const) : undefined),
    options.destDecompress ? ('none' as const) : undefined,
  ].filter((word): word is 'gzip' | 'zstd' | 'none' => word !== undefined);
  const [compression] = words;
  if (new Set(words).size > 1) {
    throw new UsageError('USAGE', { message: `layers can't be both ${words.join(' and ')}`, hint: 'say one of them' });
  }
  const types = options.format === 'v2s2' ? 'docker' : options.format;
  const level = options.compressionLevel ?? options.destCompressLevel;
  if (level !== undefined && (compression === undefined || compression === 'none')) {
    throw new UsageError('USAGE', {
      message: '--compression-level without a compression: layers are copied as they are',
      hint: 'add --compression gzip or --compression zstd',
    });
  }
  return { types, compression, level, force: options.forceCompression };
}

/** How the image is to be at its destination; undefined: as it is. */
function converter(
  source: ImageSource,
  destination: ImageDestination,
  conversion: Conversion,
  ends: Ends,
  onProgress: OnProgress,
): ((plan: CopyPlan, at: ImageSource) => Promise<Converted>) | undefined {
  // Nobody knows the digest of a manifest that is made up: it may as well have the layers as registries want them.
  const compression = conversion.compression ?? (source.isMadeUp && destination.wantsCompressed ? 'gzip' : undefined);
  if (conversion.types === undefined && compression === undefined) return undefined;
  return (plan, at) => convertImages(plan, at, { ...conversion, compression }, ends, onProgress);
}
