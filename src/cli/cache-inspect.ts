import type { Command } from 'commander';
import { type CacheMount, cacheMountBytes, cacheMountPath, type Store } from '#store';
import { cacheMountsNamed } from './cache-mount-named.js';
import type { Cli } from './cli.js';

export function configure(command: Command): void {
  command
    .argument('<cache...>', 'ids or names')
    .addHelpText('after', '\nexample:\n  tsbuild cache inspect /root/.cache/pip');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const store = await cli.openStore(command.opts<{ store?: string }>().store);
  const shown = [];
  for (const text of command.args) {
    for (const mount of await cacheMountsNamed(store, text)) shown.push(describeCacheMount(store, mount));
  }
  cli.out(`${JSON.stringify(shown, null, 2)}\n`);
  return 0;
}

/** What is known of a cache, as people and programs read it. */
export function describeCacheMount(store: Store, { name, record, inUse, changedMs }: CacheMount) {
  return {
    id: record?.id ?? null,
    name,
    ...(record?.namespace ? { namespace: record.namespace } : {}),
    sharing: record?.sharing ?? null,
    inUse,
    createdAt: new Date(record?.createdMs ?? changedMs).toISOString(),
    lastUsedAt: new Date(record?.usedMs ?? changedMs).toISOString(),
    size: cacheMountBytes(store, name),
    mode: record?.mode == null ? null : record.mode.toString(8).padStart(4, '0'),
    uid: record?.uid ?? null,
    gid: record?.gid ?? null,
    ...(record?.origin ? { from: record.origin } : {}),
    path: cacheMountPath(store, name),
  };
}
