// tsbuild images: the images of the store, as docker and podman list theirs.
import { type Command, Option } from 'commander';
import { type ListedImage, listImages } from '#store';
import { formatPlatform } from '../platform/index.js';
import { type Cli, collect } from './cli.js';
import { entriesOf, type ImageEntry } from './image-entries.js';
import { imageFilter } from './image-filter.js';
import { ago, humanBytes, table } from './table.js';

interface ImagesCommand {
  readonly all?: boolean;
  readonly quiet?: boolean;
  readonly trunc: boolean;
  readonly digests?: boolean;
  readonly tree?: boolean;
  readonly filter?: readonly string[];
  readonly format: 'table' | 'json';
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('[name]', "only images of this name; '*' stands for any part of it")
    .option('-a, --all', 'images without a name too')
    .option('-q, --quiet', 'digests only')
    .option('--no-trunc', 'whole digests')
    .option('--digests', 'whole digests, and those of the configs')
    .option('--tree', 'of an index, each of its images')
    .option(
      '-f, --filter <filter>',
      'reference=PATTERN, dangling=true, label=KEY[=VALUE], before=IMAGE, since=IMAGE, until=AGE; several are all to be true',
      collect,
    )
    .addOption(new Option('--format <kind>', 'how to print').choices(['table', 'json']).default('table'))
    .addHelpText(
      'after',
      '\nexamples:\n  tsbuild images\n  tsbuild images --tree\n  tsbuild images --filter label=team=web --filter until=24h\n  tsbuild images -q --filter dangling=true',
    );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<ImagesCommand>();
  const name = command.args[0];
  const filters = [...(options.filter ?? []), ...(name === undefined ? [] : [`reference=${name}`])];
  const store = await cli.openStore(options.store);
  const all = listImages(store);
  const filter = imageFilter(filters, all);
  const chosen: { image: ListedImage; entries: readonly ImageEntry[] }[] = [];
  for (const image of all) {
    if (image.names.length === 0 && !options.all && !filter.wantsDangling) continue;
    const entries = filter.needsConfig || needsEntries(options) ? await entriesOf(store, image) : [];
    const names = filter.namesOf(image, entries);
    if (names !== null) chosen.push({ image: { ...image, names }, entries });
  }
  cli.out(
    options.format === 'json' ? asJson(chosen) : options.quiet ? asIds(chosen, options) : asTable(chosen, options),
  );
  return 0;
}

type Chosen = readonly { readonly image: ListedImage; readonly entries: readonly ImageEntry[] }[];

function needsEntries({ quiet, format }: ImagesCommand): boolean {
  return format === 'json' || quiet !== true;
}

function asJson(chosen: Chosen): string {
  return chosen
    .map(({ image: { images, ...image }, entries }) => {
      const platforms = entries.map(({ platform }) => formatPlatform(platform));
      const listed = images === null ? {} : { images: entries.map(({ digest, packed }) => ({ digest, packed })) };
      return `${JSON.stringify({ ...image, platforms, ...listed })}\n`;
    })
    .join('');
}

function asIds(chosen: Chosen, { trunc }: ImagesCommand): string {
  return [...new Set(chosen.map(({ image }) => shown(image.digest, trunc)))].map((id) => `${id}\n`).join('');
}

function asTable(chosen: Chosen, options: ImagesCommand): string {
  const { trunc, digests, tree } = options;
  const rows: string[][] = [];
  for (const { image, entries } of chosen) {
    const facts = [
      ...(digests ? [image.digest] : []),
      shown(digests ? image.configDigest : image.digest, trunc),
      platformsOf(entries, tree === true),
      ago(image.createdMs),
      humanBytes(image.sizeBytes),
    ];
    for (const name of image.names.length > 0 ? image.names : ['<none>']) rows.push([...splitName(name), ...facts]);
    if (!tree || image.images === null) continue;
    for (const [i, { digest, configDigest, platform, sizeBytes, packed }] of entries.entries()) {
      const branch = i === entries.length - 1 ? '└─' : '├─';
      rows.push([
        branch,
        '',
        ...(digests ? [digest] : []),
        shown(digests ? configDigest : digest, trunc),
        formatPlatform(platform),
        packed ? 'packed' : '',
        humanBytes(sizeBytes),
      ]);
    }
  }
  const id = digests ? ['DIGEST', 'CONFIG'] : ['IMAGE ID'];
  return table(['REPOSITORY', 'TAG', ...id, 'PLATFORM', 'CREATED', 'SIZE'], rows);
}

/** Of many, the first two. */
function platformsOf(entries: readonly ImageEntry[], tree: boolean): string {
  const names = [...new Set(entries.map(({ platform }) => formatPlatform(platform)))];
  if (names.length > 1 && tree) return `${names.length} platforms`;
  return names.length > 3 ? `${names.slice(0, 2).join(', ')} +${names.length - 2}` : names.join(', ');
}

function shown(digest: string, trunc: boolean): string {
  return trunc ? digest.slice('sha256:'.length).slice(0, 12) : digest;
}

function splitName(name: string): [string, string] {
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? [name.slice(0, colon), name.slice(colon + 1)] : [name, '<none>'];
}
