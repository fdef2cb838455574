// tsbuild pull: from a registry, an OCI layout or archive, or another store.
import type { Command } from 'commander';
import {
  copyBetweenStores,
  type Digest,
  familiarName,
  findImage,
  formatReference,
  type ImageConfig,
  type Lease,
  openLease,
  type Platform,
  type PullOptions,
  parseReference,
  pullImage,
  type Store,
  StoreError,
  tagImage,
} from '#store';
import { hostPlatform, parsePlatform, requirePlatform } from '../platform/index.js';
import type { TransferReport } from '../report/index.js';
import { resolveBase } from '../source/index.js';
import { openAutomaticGc } from './automatic-gc.js';
import { type Cli, collect, UsageError } from './cli.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';
import { storeAndName } from './store-address.js';
import { addTransferOptions, type TransferFlags, withTransferReport } from './transfer.js';
import { underLease } from './under-lease.js';

interface PullCommand extends RegistryFlags, TransferFlags {
  readonly tag?: readonly string[];
  readonly platform?: string;
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
      'NAME in a registry, oci-layout://DIR[:tag], oci-archive:FILE, docker-archive:FILE, store://DIR/NAME',
    )
    .option(
      '-t, --tag <name>',
      'name it has here (default: the name it has there); may be given several times',
      collect,
    )
    .option('--platform <os/arch[/variant]>', "which image of an index (default: this machine's)");
  addTransferOptions(command);
  addRegistryOptions(command);
  command.addHelpText(
    'after',
    '\nexamples:\n  tsbuild pull localhost:5000/app:1\n  tsbuild pull oci-layout:///tmp/out:1 -t app:1\n  tsbuild pull store:///srv/tsbuild/app:1',
  );
}

export const elsewhere = passwordsElsewhere;
export { registrySwitches as prepare } from './registry-options.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<PullCommand>();
  const source = command.args[0] ?? '';
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
  const store = await cli.openStore(options.store);
  const collectGarbage = openAutomaticGc(cli, store);
  await underLease(cli, store, `pull ${source}`, async (lease) => {
    const { digest, name } = await withTransferReport(cli, options, (report) =>
      pullFrom(cli, store, lease, source, platform, options, report),
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
  platform: Platform,
  options: PullCommand,
  { onProgress, expect }: TransferReport,
): Promise<Pulled> {
  const check = (config: ImageConfig): void => requirePlatform({ ref: source, platform: config }, platform);
  if (source.startsWith('store:')) return fromStore(cli, store, lease, source, { check, platform });
  if (/^(oci-layout|oci-archive|docker-archive):/.test(source)) {
    const image = await resolveBase(store, lease, source, { platform, pull: 'always' });
    check(image.config);
    return { digest: image.digest, name: null };
  }
  const reference = parseReference(source);
  const image = await pullImage(store, lease, reference, {
    platform,
    ...registryOptions(options),
    onProgress,
    onLayers: expect,
    check,
  });
  return {
    digest: image.digest,
    name: reference.digest === undefined ? familiarName(formatReference(reference)) : null,
  };
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
  const held = await openLease(from, `copy of ${name}`); // its layers stay while they are read
  try {
    const found = findImage(from, name);
    await copyBetweenStores(from, store, lease, found.digest, options);
    return { digest: found.digest, name: found.name === null ? null : familiarName(found.name) };
  } finally {
    await held.release();
  }
}
