// erofs-utils of a newer Debian: the one that the tests run on refuses images with blocks of 512 bytes. Unpacked once from
// its packages and run with their own libraries.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const suite = 'trixie';
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tsbuild-test');
const root = join(cache, `erofs-utils-${suite}`);

export interface ErofsUtils {
  /** Output of `program`, errors included. @throws where it fails */
  run(program: 'mkfs.erofs' | 'fsck.erofs' | 'dump.erofs', args: readonly string[]): string;
}

/** The tools, or why there are none. */
export function newerErofsUtils(): ErofsUtils | string {
  try {
    if (!existsSync(root)) unpackPackages();
    const tools: ErofsUtils = { run };
    tools.run('mkfs.erofs', ['--version']);
    return tools;
  } catch (error) {
    return `no erofs-utils of ${suite} (${(error as Error).message.split('\n').at(0)})`;
  }
}

function unpackPackages(): void {
  const partial = `${root}.${process.pid}`;
  mkdirSync(cache, { recursive: true });
  try {
    execFileSync('mmdebstrap', ['--quiet', '--variant=extract', '--include=erofs-utils', suite, partial], {
      stdio: 'pipe',
      timeout: 120_000,
    });
    renameSync(partial, root);
  } catch (error) {
    if (!existsSync(root)) throw error; // else another test process was faster
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

function run(program: string, args: readonly string[]): string {
  const lib = join(root, 'usr/lib');
  const libraries = join(lib, readdirSync(lib).find((name) => name.endsWith('-linux-gnu'))!);
  const loader = join(libraries, readdirSync(libraries).find((name) => name.startsWith('ld-linux'))!);
  const command = ['--library-path', libraries, join(root, 'usr/bin', program), ...args];
  return execFileSync(loader, command, { encoding: 'latin1', stdio: ['ignore', 'pipe', 'pipe'] });
}
