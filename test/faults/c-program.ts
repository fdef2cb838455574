// The C that fault tests need, compiled when first wanted and kept in the cache directory of the tests.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The compiled `test/faults/<name>.c`; compiled with `flags`, which may say that it is a library. */
export function compiled(name: string, flags: readonly string[]): string {
  const source = join(import.meta.dirname, `${name}.c`);
  const key = createHash('sha256').update(readFileSync(source)).update(flags.join(' ')).digest('hex').slice(0, 16);
  const dir = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tsbuild-test');
  const target = join(dir, `${name}-${key}`);
  if (existsSync(target)) return target;
  mkdirSync(dir, { recursive: true });
  const made = `${target}.${process.pid}`;
  execFileSync('cc', ['-std=gnu17', '-O1', '-Wall', '-Wextra', '-Werror', '-o', made, source, ...flags]);
  renameSync(made, target);
  return target;
}
