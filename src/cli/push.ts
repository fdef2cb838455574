// tsbuild push: to a registry, an OCI layout or another store.
import { type Command, Option } from 'commander';
import {
  convertImages,
  copyBetweenStores,
  copyImage,
  exportLayout,
  type ImageSource,
  type Lease,
  layoutDestination,
  openStoreSource,
  type Platform,
  parseReference,
  pushImage,
  type RegistryOptions,
  registryDestination,
  type Store,
  tagImage,
} from '#store';
import type { TransferReport } from '../report/index.js';
import { type Cli, collect, UsageError } from './cli.js';
import { compressionLevel as parseLevel } from './level-option.js';
import { Ends } from './open-address.js';
import { openImage, openWhole, type WholeImage } from './open-image.js';
import { platformOption } from './platform-option.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';
import { storeAndName } from './store-address.js';
import { addJobsOption, addTransferOptions, type TransferFlags, withTransferReport } from './transfer.js';
import { underLease, underReadingLease } from './under-lease.js';
import { writeResult } from './write-result.js';

interface PushOptions extends RegistryFlags, TransferFlags {
  readonly annotation?: readonly string[];
  readonly compression?: 'gzip' | 'estargz' | 'zstd' | 'none';
  readonly compressionLevel?: number;
  readonly digestfile?: string;
  readonly platform?: Platform;
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
    .option('--annotation <key=value>', "annotation of the image's manifest, which gives it another digest", collect)
    .option('--digestfile <file>', 'write the digest at the destination to a file')
    .addOption(platformOption().default(undefined, 'all of it'));
  addJobsOption(command);
  addTransferOptions(command);
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
  await underReadingLease(cli, store, `push ${name}`, async (lease) => {
    const { platform } = options;
    const whole = await openWhole(store, name);
    const image = platform === undefined ? undefined : await openImage(cli, store, name, platform);
    const opened = image === undefined ? whole : { image, digest: image.digest, name: null };
    const digest = await withTransferReport(cli, options, (report) =>
      send(cli, store, lease, opened, name, destination, options, report),
    );
    if (options.digestfile !== undefined) writeResult('--digestfile', options.digestfile, digest);
    cli.out(options.quiet ? `${digest}\n` : `pushed ${name} to ${destination} ${digest}\n`);
  });
  return 0;
}

async function send(
  cli: Cli,
  store: Store,
  lease: Lease,
  opened: WholeImage,
  name: string,
  destination: string,
  options: PushOptions,
  report: TransferReport,
): Promise<string> {
  const { onProgress } = report;
  const { index } = opened;
  const annotations = options.annotation?.map(annotation);
  const { compression, compressionLevel } = options;
  if (index !== undefined && (compression !== undefined || compressionLevel !== undefined)) {
    throw new UsageError('USAGE', {
      message: `${name} is an index: what is attested about its image names the compressed layers`,
      hint: 'leave --compression out, or build with the compression that it should have',
    });
  }
  const access = registryOptions(options);
  requireAnnotatable(name, destination, opened, annotations);
  const [, scheme, rest = ''] = /^(oci-layout|oci|store):(?:\/\/)?(.+)$/.exec(destination) ?? [];
  if (scheme === 'store') {
    if (compression)
      throw new UsageError('USAGE', { message: 'a store keeps layers uncompressed', hint: 'leave --compression out' });
    return copyTo(cli, store, opened, destination, name);
  }
  if (scheme !== undefined) {
    const { dir, tag } = layoutTarget(rest);
    const written = { tag, onProgress, signal: cli.signal };
    if (index !== undefined) {
      const source = openStoreSource(store, lease, opened.digest, name, onProgress);
      return (await copyImage(source, layoutDestination(dir, tag), written)).descriptor.digest;
    }
    const form = { compression: compression ?? 'none', level: compressionLevel };
    return exportLayout(store, lease, opened.image, dir, { ...form, ...written });
  }
  if (index !== undefined) {
    return sendIndex(cli, openStoreSource(store, lease, opened.digest, name, onProgress), destination, access, report);
  }
  const sent = {
    compression,
    level: compressionLevel,
    annotations: Object.fromEntries(annotations ?? []),
    ...access,
    jobs: options.jobs,
    onProgress,
  };
  const { manifest } = await pushImage(store, lease, opened.image, destination, sent);
  return manifest.descriptor.digest;
}

/** As it is, but for layers that are not compressed: those of images that were built here without attestations. */
async function sendIndex(
  cli: Cli,
  source: ImageSource,
  destination: string,
  access: RegistryOptions,
  { onProgress, expect }: TransferReport,
): Promise<string> {
  const ends = new Ends(cli);
  try {
    const target = registryDestination(parseReference(destination), access);
    const { descriptor } = await copyImage(source, target, {
      onProgress,
      onLayers: expect,
      signal: cli.signal,
      convert: (plan, from) => convertImages(plan, from, { compression: 'gzip', onlyPlain: true }, ends, onProgress),
    });
    return descriptor.digest;
  } finally {
    await ends.close();
  }
}

/** 'manifest:KEY=VALUE' as a build takes it, or without the place: there is no other. @throws UsageError */
function annotation(text: string): [key: string, value: string] {
  const pair = text.replace(/^manifest:/, '');
  const at = pair.indexOf('=');
  if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
  throw new UsageError('USAGE', {
    message: `--annotation ${text}: there is no KEY=VALUE`,
    hint: 'write --annotation KEY=VALUE',
  });
}

/** @throws UsageError */
function requireAnnotatable(
  name: string,
  destination: string,
  { index }: WholeImage,
  annotations: readonly unknown[] | undefined,
): void {
  if (annotations === undefined) return;
  if (index !== undefined) {
    throw new UsageError('USAGE', {
      message: `${name} is an index: what is attested about its image names the exact manifest`,
      hint: 'annotate it when it is built, with build --annotation',
    });
  }
  if (/^(oci-layout|oci|store):/.test(destination)) {
    throw new UsageError('USAGE', { message: '--annotation is for pushes to registries', hint: 'leave it out' });
  }
}

/** 'DIR:tag'; a colon belongs to the directory if a slash follows it. */
function layoutTarget(text: string): { dir: string; tag: string | undefined } {
  const [, dir, tag] = /^(.+?)(?::([^/:]+))?$/.exec(text) ?? [];
  return { dir: dir ?? text, tag };
}

async function copyTo(
  cli: Cli,
  from: Store,
  { digest }: WholeImage,
  destination: string,
  name: string,
): Promise<string> {
  const { dir, name: newName } = storeAndName(destination);
  const to = await cli.openStore(dir);
  return underLease(cli, to, `copy of ${name}`, async (lease) => {
    await copyBetweenStores(from, to, lease, digest);
    const tag = newName ?? (/^(sha256:)?[0-9a-f]{12,64}$/.test(name) ? null : name);
    if (tag !== null) tagImage(to, tag, digest);
    return digest;
  });
}
