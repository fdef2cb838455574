import { existsSync } from 'node:fs';
import { join } from 'node:path';

interface StoreAddress {
  readonly dir: string;
  readonly name: string | null;
  /** False where there is no store yet. */
  readonly exists: boolean;
}

/** 'store://DIR' or 'store://DIR/NAME:TAG': the directory is as much of it as is a store, or all of it if nothing is. */
export function storeAndName(address: string): StoreAddress {
  const path = address.replace(/^store:(\/\/)?/, '').replace(/\/+$/, '');
  const parts = path.split('/');
  for (let count = parts.length; count > 0; count--) {
    const dir = parts.slice(0, count).join('/') || '/';
    if (existsSync(join(dir, 'format.json'))) return { dir, name: parts.slice(count).join('/') || null, exists: true };
  }
  return { dir: path, name: null, exists: false };
}
