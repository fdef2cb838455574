// Caches by the words that people have for them: their id, or the start of their name.
import { type CacheMount, listCacheMounts, type Store, StoreError } from '#store';
import { closest } from '../base/index.js';
import { UsageError } from './cli.js';

/** @throws StoreError CACHE_NOT_FOUND */
export async function cacheMountsNamed(store: Store, text: string): Promise<readonly CacheMount[]> {
  const all = await listCacheMounts(store);
  const found = all.filter(({ name, record }) => record?.id === text || isStartOf(text, name));
  if (found.length > 0) return found;
  const ids = all.flatMap(({ record }) => record?.id ?? []);
  const near = closest(text, ids);
  throw new StoreError('CACHE_NOT_FOUND', {
    message: `there is no cache ${text}`,
    hint: near
      ? `did you mean ${near}?`
      : 'tsbuild cache ls lists the caches; an id is what the mount says, else its target',
  });
}

/** The one that is meant. @throws UsageError when there are several */
export async function cacheMountNamed(store: Store, text: string): Promise<CacheMount> {
  const [first, ...others] = await cacheMountsNamed(store, text);
  if (others.length === 0) return first!;
  const names = [first!, ...others].map(({ name }) => shortName(name));
  throw new UsageError('USAGE', {
    message: `${others.length + 1} caches have the id ${text}: ${names.join(', ')}`,
    hint: 'give one of these names; tsbuild cache inspect shows in what they differ',
  });
}

/** As lists show it: a further directory of the same cache keeps its number. */
export function shortName(name: string): string {
  const [hash = '', number] = name.split('-');
  return number === undefined ? hash.slice(0, 12) : `${hash.slice(0, 12)}-${number}`;
}

function isStartOf(text: string, name: string): boolean {
  return (
    text.length >= 6 &&
    (name === text || shortName(name) === text || (!text.includes('-') && !name.includes('-') && name.startsWith(text)))
  );
}
