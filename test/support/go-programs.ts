// Programs that Debian does not have, built once by go from the module proxy and kept in the user's cache.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { installed } from './tsbuild.js';

const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tsbuild-test');

/** Path of the program that `go build` makes of this package; null where go or the module can't be had. */
export function goProgram(name: string, module: string, version: string, packagePath = module): string | null {
  const path = join(cache, `${name}-${version}`);
  if (existsSync(path)) return path;
  if (!installed('go')) return null;
  const scratch = mkdtempSync(join(tmpdir(), 'tsbuild-go-'));
  const go = (...args: string[]): void => {
    execFileSync('go', args, { cwd: scratch, stdio: 'ignore', timeout: 240_000 });
  };
  try {
    go('mod', 'init', 'scratch');
    go('get', `${packagePath}@${version}`);
    go('build', '-o', 'program', packagePath);
    mkdirSync(cache, { recursive: true });
    renameSync(join(scratch, 'program'), path);
    return path;
  } catch {
    return null;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
