// mount.json: what a cache mount's directory is for, so that it can be listed. Written anew, in one rename, by each use.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hasCode } from './faults.js';
import { cacheMountRecord, cacheMountsDir } from './paths.js';

const sharings = ['shared', 'private', 'locked'] as const;
export type Sharing = (typeof sharings)[number];

/** What decides which directory a cache mount gets. Where one differs, the caches have nothing in common. */
export interface CacheMountKey {
  readonly id: string;
  /** Of BUILDKIT_CACHE_MOUNT_NS; '' as a rule. */
  readonly namespace: string;
  /** Of the directory when it is made; null: as what it begins with. */
  readonly mode: number | null;
  readonly uid: number | null;
  readonly gid: number | null;
  /** Digest of the files that it begins with; null: none. */
  readonly from: string | null;
}

export interface CacheMountRecord extends CacheMountKey {
  /** Where the files come from that it begins with, for people. */
  readonly origin: string | null;
  /** As its last user had it. */
  readonly sharing: Sharing;
  readonly createdMs: number;
  readonly usedMs: number;
}

/** Name of the first directory of a key; others of it have '-1', '-2' and so on behind it. */
export function cacheMountName({ id, namespace, mode, uid, gid, from }: CacheMountKey): string {
  const owner = from === null ? [id, uid ?? 0, gid ?? 0, mode ?? 0o755] : [id, uid, gid, mode];
  const more = namespace === '' && from === null ? [] : [namespace, from];
  return createHash('sha256')
    .update(JSON.stringify([...owner, ...more]))
    .digest('hex')
    .slice(0, 32);
}

/** Names of all directories, or of those of one key: in the order in which they are tried. */
export function cacheMountNames(dir: string, first?: string): string[] {
  const isWanted = (name: string): boolean =>
    namePattern.test(name) && (first === undefined || name === first || name.startsWith(`${first}-`));
  return readNames(cacheMountsDir(dir)).filter(isWanted).sort(byNumber);
}

const namePattern = /^[0-9a-f]{32}(-[1-9]\d*)?$/;

/** The first name of the key that no directory has. */
export function freeName(first: string, taken: readonly string[]): string {
  if (!taken.includes(first)) return first;
  let number = 1;
  while (taken.includes(`${first}-${number}`)) number++;
  return `${first}-${number}`;
}

function byNumber(a: string, b: string): number {
  const [hashA = '', numberA = '0'] = a.split('-');
  const [hashB = '', numberB = '0'] = b.split('-');
  return hashA === hashB ? Number(numberA) - Number(numberB) : hashA < hashB ? -1 : 1;
}

function readNames(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Null where there is none, as in stores of earlier versions, or it is damaged. */
export function readCacheMountRecord(dir: string, name: string): CacheMountRecord | null {
  try {
    const value: unknown = JSON.parse(readFileSync(cacheMountRecord(dir, name), 'utf8'));
    return isRecord(value) ? value : null;
  } catch (error) {
    if (hasCode(error, 'ENOENT') || error instanceof SyntaxError) return null;
    throw error;
  }
}

export function writeCacheMountRecord(dir: string, name: string, record: CacheMountRecord): void {
  const path = cacheMountRecord(dir, name);
  writeFileSync(`${path}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function isRecord(value: unknown): value is CacheMountRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { id, namespace, sharing, createdMs, usedMs } = value as Record<string, unknown>;
  return (
    typeof id === 'string' &&
    typeof namespace === 'string' &&
    sharings.some((each) => each === sharing) &&
    typeof createdMs === 'number' &&
    typeof usedMs === 'number'
  );
}
