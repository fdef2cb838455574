// tsbuild import: a root file system, or Debian by mmdebstrap, becomes an image.
import type { Command } from 'commander';
import { type Lease, openLease, type Store, type StoredImage, tagImage } from '#store';
import { unlessInterrupted } from '../base/index.js';
import { parsePlatform } from '../platform/index.js';
import { importDebian, importRootfs, type OnSourceProgress } from '../source/index.js';
import { openAutomaticGc } from './automatic-gc.js';
import { type Cli, collect, UsageError } from './cli.js';

interface ImportCommand {
  readonly debian?: string;
  readonly mirror?: string;
  readonly include?: readonly string[];
  readonly tag?: readonly string[];
  readonly platform?: string;
  readonly quiet?: boolean;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument(
      '[source]',
      "a root directory, a tar (gzip, zstd, xz, bzip2 or plain), or '-' for a tar on standard input",
    )
    .option('--debian <suite>', 'make a minimal Debian with mmdebstrap: bookworm, trixie, …')
    .option('--mirror <url>', "mirror for --debian (default: this machine's)")
    .option('--include <package>', 'another package for --debian', collect)
    .option('-t, --tag <name>', 'name the image; may be given several times', collect)
    .option('--platform <os/arch[/variant]>', 'platform of the files (default: what its programs say)')
    .option('-q, --quiet', 'print the image digest only')
    .addHelpText(
      'after',
      '\nexamples:\n  tsbuild import --debian bookworm -t debian:bookworm\n  tsbuild import rootfs.tar.gz -t base:1',
    );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<ImportCommand>();
  const source = command.args[0];
  if ((source === undefined) === (options.debian === undefined)) {
    throw new UsageError('USAGE', {
      message: 'import takes either a source or --debian',
      hint: 'tsbuild import --help shows examples',
    });
  }
  const store = await cli.openStore(options.store);
  const collectGarbage = openAutomaticGc(cli, store);
  const lease = await openLease(store, `import ${source ?? options.debian}`);
  try {
    const image = await importFrom(cli, store, lease, source, options);
    const tags = options.tag ?? [];
    for (const tag of tags) tagImage(store, tag, image.digest);
    const names = tags.length > 0 ? ` as ${tags.join(', ')}` : '';
    cli.out(options.quiet ? `${image.digest}\n` : `imported ${image.digest}${names}\n`);
  } finally {
    await lease.release();
  }
  await collectGarbage();
  return 0;
}

async function importFrom(
  cli: Cli,
  store: Store,
  lease: Lease,
  source: string | undefined,
  options: ImportCommand,
): Promise<StoredImage> {
  if (options.debian !== undefined) {
    return importDebian(store, lease, {
      suite: options.debian,
      mirror: options.mirror,
      include: options.include,
      signal: cli.signal,
      onProgress: progressLines(cli, options.quiet === true),
    });
  }
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
  return unlessInterrupted(importRootfs(store, lease, source ?? '-', { platform }), cli.signal);
}

/** Each piece of work as one line when it begins, and every tenth of it. */
function progressLines(cli: Cli, quiet: boolean): OnSourceProgress {
  let shown = '';
  return ({ what, done, total }) => {
    const line = total === null ? what : `${what} ${Math.floor((done / Math.max(total, 1)) * 10) * 10}%`;
    if (quiet || line === shown) return;
    shown = line;
    cli.err(`${line}\n`);
  };
}
