import type { Command } from 'commander';
import {
  type CacheMountKey,
  type CacheMountRecord,
  cacheMountName,
  emptyTrash,
  listCacheMounts,
  openCacheMountArchive,
  openLease,
  replaceCacheMount,
  type Store,
} from '#store';
import { unlessInterrupted } from '../base/index.js';
import { busyTeller, cacheId } from './cache-export.js';
import { cacheMountNamed } from './cache-mount-named.js';
import { type Cli, UsageError } from './cli.js';

interface ImportOptions {
  readonly id?: string;
  readonly mode?: string;
  readonly uid?: string;
  readonly gid?: string;
  readonly namespace?: string;
  readonly store?: string;
}

const example = 'tsbuild cache import --id npm npm.tar.zst';

export function configure(command: Command): void {
  command
    .argument('<file>', 'archive to read, compressed or not; - is standard input')
    .option('--id <id>', 'its id: what the mount says, else its target')
    .option('--mode <mode>', "mode of the mount, octal (default: what the archive's root has)")
    .option('--uid <uid>', 'user id of the mount')
    .option('--gid <gid>', 'group id of the mount')
    .option('--namespace <name>', 'what BUILDKIT_CACHE_MOUNT_NS says')
    .addHelpText(
      'after',
      `
The cache then holds what the archive holds, and nothing else. A mount finds it if its id, uid, gid and mode are the same.

example:
  ${example}`,
    );
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<ImportOptions>();
  const id = cacheId(options.id, undefined, example);
  const [file = '-'] = command.args;
  const store = await cli.openStore(options.store);
  const host = await cli.openHost();
  const lease = await openLease(store, `import of cache ${id}`, () => host);
  try {
    const opening = openCacheMountArchive(store, lease, file === '-' ? process.stdin : file);
    const archive = await unlessInterrupted(opening, cli.signal);
    const given = keyGiven(options);
    const { name, record } = await targetOf(store, id, given, archive.root);
    const wish = { ...record, fill: (dir: string) => archive.extract(host, dir) };
    const tempPath = (path: string): string => lease.path(path);
    await replaceCacheMount(store, name, wish, { host, tempPath, signal: cli.signal, onBusy: busyTeller(cli, id) });
    await emptyTrash(store.dir, host);
    cli.out(`imported ${archive.files} files into the cache ${id}\n`);
  } finally {
    await lease.release();
  }
  return 0;
}

type KeyPart = Partial<Pick<CacheMountKey, 'mode' | 'uid' | 'gid' | 'namespace'>>;
type Target = Omit<CacheMountRecord, 'createdMs' | 'usedMs'>;

/** The cache of that id, where there is one and nothing is said of another; else the one that a mount with these values has. */
async function targetOf(
  store: Store,
  id: string,
  given: KeyPart,
  root: { readonly mode: number; readonly uid: number; readonly gid: number } | null,
): Promise<{ readonly name: string; readonly record: Target }> {
  const known = (await listCacheMounts(store)).filter(({ record }) => record?.id === id);
  if (known.length > 0 && Object.keys(given).length === 0) {
    const { name, record } = await cacheMountNamed(store, known.length === 1 ? known[0]!.name : id);
    return { name, record: record! };
  }
  const { mode = root?.mode ?? null, uid = root?.uid ?? null, gid = root?.gid ?? null, namespace = '' } = given;
  const key = { id, namespace, mode, uid, gid, from: null };
  return { name: cacheMountName(key), record: { ...key, origin: null, sharing: 'shared' } };
}

function keyGiven({ mode, uid, gid, namespace }: ImportOptions): KeyPart {
  return {
    ...(mode !== undefined && { mode: numberOf('--mode', mode, 8) }),
    ...(uid !== undefined && { uid: numberOf('--uid', uid, 10) }),
    ...(gid !== undefined && { gid: numberOf('--gid', gid, 10) }),
    ...(namespace !== undefined && { namespace }),
  };
}

function numberOf(option: string, text: string, radix: 8 | 10): number {
  const value = Number.parseInt(text, radix);
  if ((radix === 8 ? /^[0-7]{1,4}$/ : /^\d+$/).test(text) && value <= 0xffffffff) return value;
  const kind = radix === 8 ? 'an octal mode' : 'a number';
  throw new UsageError('USAGE', {
    message: `${option} ${text} is not ${kind}`,
    hint: `as in ${option} ${radix === 8 ? '0755' : '1000'}`,
  });
}
