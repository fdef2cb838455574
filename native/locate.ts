import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SystemError } from './errors.js';

/**
 * A file that native/Makefile built: beneath TSBUILD_NATIVE_DIR, or native/build of the installation this code is in
 * (which may be native/ itself, or dist/).
 */
export function nativeFile(name: string): string {
  const chosen = process.env.TSBUILD_NATIVE_DIR;
  if (chosen) return requireFile(join(chosen, name));
  const start = dirname(fileURLToPath(import.meta.url));
  for (let dir = start; ; dir = dirname(dir)) {
    const file = join(dir, 'native', 'build', name);
    if (existsSync(file)) return file;
    if (dir === dirname(dir)) return requireFile(join(start, 'native', 'build', name));
  }
}

function requireFile(file: string): string {
  if (existsSync(file)) return file;
  throw new SystemError('NATIVE_MISSING', {
    message: `tsbuild's native part is missing: ${file}`,
    hint: 'build it with `npm run build` (needs a C compiler and make), or set TSBUILD_NATIVE_DIR',
    errno: 'ENOENT',
  });
}
