// format.json: that a directory is a store, and of which version.
import * as fs from 'node:fs';
import { StoreError } from '../errors.js';
import { hasCode } from './faults.js';
import * as paths from './paths.js';

export const formatVersion = 1;

/** What format.json says: a version, that there is none, or that it can't be understood or read. Nothing is refused. */
export function probeFormat(root: string): number | 'missing' | 'damaged' | 'unreadable' {
  let text: string;
  try {
    text = fs.readFileSync(paths.formatPath(root), 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return 'missing';
    if (hasCode(error, 'EIO')) return 'unreadable';
    throw error;
  }
  return parseVersion(text) ?? 'damaged';
}

/** Null where there is no store. @throws StoreError STORE_NOT_A_STORE, STORE_TOO_NEW, STORE_DAMAGED, STORE_IO */
export function readFormat(root: string): number | null {
  const found = probeFormat(root);
  if (found === 'missing' && !looksLikeStore(root)) return null;
  if (typeof found !== 'number') throw noFormat(root, found);
  refuseNewer(root, found, formatVersion);
  return found;
}

function noFormat(root: string, found: 'missing' | 'damaged' | 'unreadable'): StoreError {
  const isStore = looksLikeStore(root);
  const path = paths.formatPath(root);
  const messages = {
    missing: `${path} is missing, though the rest of a store is there`,
    damaged: `${path} does not describe a store`,
    unreadable: `${path} can't be read: input/output error`,
  };
  const damage = found === 'unreadable' ? 'STORE_IO' : 'STORE_DAMAGED';
  return new StoreError(isStore ? damage : 'STORE_NOT_A_STORE', {
    message: messages[found],
    hint: isStore ? `'tsbuild fsck --repair --store ${root}' writes it again` : 'choose another directory with --store',
  });
}

/** True where a store has been in use, whatever its format.json says. */
export function looksLikeStore(root: string): boolean {
  if (!fs.existsSync(paths.layersDir(root)) || !fs.existsSync(paths.blobsDir(root))) return false;
  // One that is only being made has no content yet.
  return [paths.layersDir(root), paths.blobsDir(root), paths.tagsDir(root)].some(
    (dir) => fs.existsSync(dir) && fs.readdirSync(dir).length > 0,
  );
}

/** Written last of all, so that a directory with a format is a complete store. */
export function writeFormat(root: string): void {
  const format = `${paths.formatPath(root)}.new`;
  fs.writeFileSync(format, `${JSON.stringify({ format: 'tsbuild-store', version: formatVersion })}\n`, {
    mode: 0o600,
    flush: true,
  });
  fs.renameSync(format, paths.formatPath(root));
}

export function makeDirectories(root: string): void {
  for (const path of paths.storeDirs(root)) {
    if (fs.existsSync(path)) continue;
    fs.mkdirSync(path, { recursive: true });
    fs.chmodSync(path, 0o700);
  }
}

export function refuseNewer(root: string, found: number, known: number): void {
  if (found <= known) return;
  throw new StoreError('STORE_TOO_NEW', {
    message: `store ${root} has format ${found}, this version of tsbuild knows ${known}`,
    hint: 'update tsbuild, or choose another directory with --store',
  });
}

function parseVersion(text: string): number | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null || !('format' in value) || !('version' in value)) return null;
    const { format, version } = value;
    return format === 'tsbuild-store' && typeof version === 'number' && Number.isInteger(version) && version > 0
      ? version
      : null;
  } catch {
    return null;
  }
}
