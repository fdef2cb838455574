// tsbuild pull: from a registry, an OCI layout or archive, or another store.
import type { Command } from 'commander';
import {
  copyBetweenStores,
  copyImage,
  type Digest,
  familiarName,
  findImage,
  formatReference,
  type ImageConfig,
  type ImageSource,
  inspectImage,
  isAttestation,
  type Lease,
  openReadingLease,
  type Platform,
  type PullOptions,
  parseImageDocument,
  parseReference,
  type Store,
  StoreError,
  storeDestination,
  tagImage,
} from '#store';
import { hostPlatform, parsePlatform, requirePlatform, samePlatform } from '../platform/index.js';
import type { TransferReport } from '../report/index.js';
import { resolveBase } from '../source/index.js';
import { openAutomaticGc } from './automatic-gc.js';
import { type Cli, collect, UsageError } from './cli.js';
import { type ImageAddress, parseAddress } from './image-address.js';
import { Ends, openSource } from './open-address.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';
import { storeAndName } from './store-address.js';
import { addJobsOption, addTransferOptions, type TransferFlags, withTransferReport } from './transfer.js';
import { underLease } from './under-lease.js';

interface PullCommand extends RegistryFlags, TransferFlags {
  readonly tag?: readonly string[];
  readonly platform?: readonly string[];
  readonly allPlatforms?: boolean;
  readonly store?: string;
}

interface Pulled {
  /** Of an image, or of an index that came as a whole. */
  readonly digest: Digest;
  /** Name that it had where it came from. */
  readonly name: string | null;
}

export function configure(command: Command): void {
  command
    .argument(
      '<source>',
      'NAME in a registry, oci:DIR[:tag], oci-archive:FILE, docker-archive:FILE, dir:DIR, store://DIR/NAME',
    )
    .option(
      '-t, --tag <name>',
      'name it has here (default: the name it has there); may be given several times',
      collect,
    )
    .option(
      '--platform <os/arch[/variant],...>',
      "which image of an index (default: this machine's); several make an index of theirs",
      collect,
    )
    .option('-a, --all-platforms', 'the whole index; images for other machines stay packed until they are needed');
  addJobsOption(command);
  addTransferOptions(command);
  addRegistryOptions(command);
  command.addHelpText(
    'after',
    '\nexamples:\n  tsbuild pull localhost:5000/app:1\n  tsbuild pull --all-platforms localhost:5000/app:1\n  tsbuild pull oci-layout:///tmp/out:1 -t app:1\n  tsbuild pull store:///srv/tsbuild/app:1',
  );
}

export const elsewhere = passwordsElsewhere;
export { registrySwitches as prepare } from './registry-options.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<PullCommand>();
  const source = command.args[0] ?? '';
  const platforms = (options.platform ?? [])
    .flatMap((text) => text.split(','))
    .map((text) => parsePlatform(text.trim()));
  if (options.allPlatforms && platforms.length > 0) {
    throw new UsageError('USAGE', { message: 'both --all-platforms and --platform are given', hint: 'leave one out' });
  }
  const store = await cli.openStore(options.store);
  const collectGarbage = openAutomaticGc(cli, store);
  await underLease(cli, store, `pull ${source}`, async (lease) => {
    const { digest, name } = await withTransferReport(cli, options, (report) =>
      pullFrom(cli, store, lease, source, platforms, options, report),
    );
    const names = options.tag ?? (name === null ? [] : [name]);
    for (const tag of names) tagImage(store, tag, digest);
    cli.out(options.quiet ? `${digest}\n` : `pulled ${names.join(', ') || source} ${digest}\n`);
  });
  await collectGarbage();
  return 0;
}

async function pullFrom(
  cli: Cli,
  store: Store,
  lease: Lease,
  source: string,
  platforms: readonly Platform[],
  options: PullCommand,
  { onProgress, expect }: TransferReport,
): Promise<Pulled> {
  const [platform = hostPlatform(), ...others] = platforms;
  const check = (config: ImageConfig): void => requirePlatform({ ref: source, platform: config }, platform);
  if (source.startsWith('store:')) return fromStore(cli, store, lease, source, { check, platform });
  const isSingle = options.allPlatforms !== true && others.length === 0;
  if (isSingle && /^(oci-layout|oci-archive|docker-archive):/.test(source)) {
    const image = await resolveBase(store, lease, source, { platform, pull: 'always' });
    check(image.config);
    return { digest: image.digest, name: null };
  }
  const ends = new Ends(cli);
  try {
    const address = pullAddress(source);
    const opened = await openSource(ends, address, {
      store: undefined,
      access: registryOptions(options),
      onProgress,
    });
    const root = await opened.root();
    const from: ImageSource = { ...opened, root: async () => root };
    const selection = isSingle ? await singleSelection(from, platform) : options.allPlatforms ? undefined : platforms;
    const unpack = (config: ImageConfig): boolean =>
      isSingle || samePlatform(config, hostPlatform()) || platforms.some((each) => samePlatform(config, each));
    const to = storeDestination({ store, lease, tag: undefined, unpack, check: isSingle ? check : undefined });
    const { descriptor } = await copyImage(from, to, {
      platforms: selection,
      onProgress,
      onLayers: expect,
      signal: cli.signal,
    });
    return { digest: descriptor.digest, name: nameOf(address) };
  } finally {
    await ends.close();
  }
}

/** A name by itself is one of a registry: it is to be pulled. */
function pullAddress(source: string): ImageAddress {
  if (/^(docker|oci|oci-layout|oci-archive|docker-archive|dir):/.test(source)) return parseAddress(source);
  return { transport: 'docker', reference: parseReference(source) };
}

function nameOf(address: ImageAddress): string | null {
  if (address.transport !== 'docker' || address.reference.digest !== undefined) return null;
  return familiarName(formatReference(address.reference));
}

/** An index of one image and what is attested about it is kept whole; of others the image for the platform comes alone. */
async function singleSelection(source: ImageSource, platform: Platform): Promise<readonly Platform[] | undefined> {
  const { descriptor, bytes } = await source.root();
  const document = parseImageDocument(bytes, source.name, descriptor.mediaType);
  if (document.kind === 'manifest') return undefined;
  const { manifests } = document.index;
  const isAlone = manifests.filter((entry) => !isAttestation(entry)).length === 1;
  if (!isAlone) return [platform];
  await inspectImage(source, platform); // fails where it is for another platform
  return undefined;
}

async function fromStore(
  cli: Cli,
  store: Store,
  lease: Lease,
  source: string,
  options: Pick<PullOptions, 'check' | 'platform'>,
): Promise<Pulled> {
  const { dir, name, exists } = storeAndName(source);
  if (!exists)
    throw new StoreError('STORE_NOT_A_STORE', {
      message: `there is no store at ${dir} or above it`,
      hint: 'the address is store://DIR/NAME:TAG, with DIR as --store takes it',
    });
  if (name === null)
    throw new UsageError('USAGE', { message: `${source} names no image`, hint: 'store://DIR/NAME:TAG' });
  const from = await cli.openStore(dir);
  const held = await openReadingLease(from, `copy of ${name}`); // its layers stay while they are read
  try {
    const found = findImage(from, name);
    await copyBetweenStores(from, store, lease, found.digest, options);
    return { digest: found.digest, name: found.name === null ? null : familiarName(found.name) };
  } finally {
    await held.release();
  }
}
