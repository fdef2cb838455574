// df --duplicates: what lies in several layers.
import { type DuplicatePlace, familiarName, findDuplicates, type Store } from '#store';
import { shortId } from './cache-filter.js';
import { type Cli, UsageError } from './cli.js';
import { byteSize } from './quantities.js';
import { humanBytes, table } from './table.js';

interface DuplicatesCommand {
  readonly format: 'table' | 'json';
  readonly minSize?: string;
  readonly top?: string;
  readonly verbose?: boolean;
}

/** @throws UsageError */
export async function showDuplicates(cli: Cli, store: Store, options: DuplicatesCommand): Promise<void> {
  const found = await findDuplicates(store, {
    minBytes: options.minSize === undefined ? undefined : byteSize('--min-size', options.minSize),
    top: options.top === undefined ? 20 : count('--top', options.top),
    signal: cli.signal,
  });
  if (options.format === 'json') {
    cli.out(`${JSON.stringify(found)}\n`);
    return;
  }
  const rows = found.groups.flatMap(({ wastedBytes, bytes, places }) => {
    const [first, ...others] = places.map(placeName);
    const figures = [humanBytes(wastedBytes), `${places.length}`, humanBytes(bytes)];
    if (options.verbose) return [[...figures, first!], ...others.map((each) => ['', '', '', each])];
    return [[...figures, others.length === 1 ? `${first}, ${others[0]}` : `${first} and ${others.length} more`]];
  });
  if (rows.length > 0) cli.out(`${table(['WASTED', 'FILES', 'EACH', 'WHERE'], rows)}\n`);
  cli.out(
    `${found.duplicateFiles} of ${found.files} files in ${found.layers} layers lie there again: ${humanBytes(found.wastedBytes)}\n`,
  );
}

/** 'usr/lib/libx.so (6a0b5c1d2e3f of app:1)' */
function placeName({ diffId, path, images }: DuplicatePlace): string {
  const [first, ...others] = images.map((name) => (name.startsWith('sha256:') ? shortId(name) : familiarName(name)));
  if (first === undefined) return `${path} (${shortId(diffId)})`;
  return `${path} (${shortId(diffId)} of ${first}${others.length > 0 ? ` and ${others.length} more` : ''})`;
}

/** @throws UsageError */
function count(option: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new UsageError('USAGE', { message: `${option} ${text} is no number of them`, hint: `as in ${option} 50` });
}
