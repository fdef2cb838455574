import assert from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { parseLoaderCache, readLoaderCache } from '../../src/source/loader-cache.js';
import { libraryFinder } from '../../src/source/shared-libraries.js';

const hasLdconfig = existsSync('/etc/ld.so.cache') && existsSync('/sbin/ldconfig');

describe("the loader's cache", () => {
  test.skipIf(!hasLdconfig)('is read as ldconfig reads it (skips without glibc)', () => {
    const lines = execFileSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' }).split('\n');
    const expected = lines.flatMap((line) => {
      const match = /^\t(\S+) \(([^)]*)\) => (.+)$/.exec(line);
      return match === null || match[2]!.includes('hwcap') ? [] : [`${match[1]} ${match[3]}`];
    });
    const cache = readLoaderCache();
    const found = [...cache].flatMap(([name, paths]) => paths.map((path) => `${name} ${path}`));
    assert(found.length > 10);
    assert.deepEqual(found.sort(), expected.sort());
  });

  test('a damaged or missing one is read as far as it makes sense', () => {
    assert.equal(readLoaderCache('/nonexistent').size, 0);
    assert.equal(parseLoaderCache(Buffer.from('garbage')).size, 0);
    const sound = hasLdconfig ? readFileSync('/etc/ld.so.cache') : Buffer.from('glibc-ld.so.cache1.1');
    for (const length of [0, 20, 47, 60, 1000]) assert(parseLoaderCache(sound.subarray(0, length)) instanceof Map);
    const damaged = Buffer.from(sound);
    damaged.fill(0xff, 48, 400);
    assert(parseLoaderCache(damaged) instanceof Map);
  });
});

describe('the libraries of a program', () => {
  /** All that ldd says the loader would map, as realpaths. */
  function byLdd(path: string): string[] | null {
    const { stdout, status } = spawnSync('ldd', [path], { encoding: 'utf8' });
    if (status !== 0) return null;
    const paths = [...stdout.matchAll(/(?:=> |^\t)(\/\S+) \(0x/gm)].map((match) => realpathSync(match[1]!));
    return [...new Set(paths)].sort();
  }

  function byUs(path: string): string[] {
    const finder = libraryFinder();
    const seen = new Set<string>();
    const queue = [realpathSync(path)];
    for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
      const needs = finder.needs(at);
      assert(needs !== null);
      assert.deepEqual(needs.missing, []);
      for (const next of [...(needs.loader ? [needs.loader] : []), ...needs.libraries].map((p) => realpathSync(p))) {
        if (!seen.has(next)) queue.push(next);
        seen.add(next);
      }
    }
    return [...seen].sort();
  }

  for (const program of [
    process.execPath,
    '/bin/ls',
    '/bin/bash',
    '/usr/bin/tar',
    '/usr/bin/git',
    '/usr/bin/apt-get',
    '/usr/bin/gcc',
  ]) {
    test(`${program} has those that ldd lists`, ({ skip }) => {
      if (!existsSync(program)) skip(`no ${program} here`);
      const expected = byLdd(program);
      if (expected === null) skip('static, or no ldd here');
      assert.deepEqual(byUs(program), expected);
    });
  }

  test('a file that is no ELF file has none, and neither has a missing one', () => {
    assert.equal(libraryFinder().needs('/etc/passwd'), null);
    assert.equal(libraryFinder().needs('/etc'), null);
    assert.equal(libraryFinder().needs('/nonexistent'), null);
  });

  test('RUNPATH and $ORIGIN are followed', ({ skip }) => {
    const dir = mkdtempSync(join(tmpdir(), 'tsbuild-runpath-'));
    try {
      mkdirSync(join(dir, 'lib'));
      mkdirSync(join(dir, 'bin'));
      const compile = (code: string, args: readonly string[]) =>
        spawnSync('gcc', ['-x', 'c', '-', ...args], { input: code, cwd: dir }).status === 0;
      if (!compile('int f(void){return 1;}', ['-shared', '-fPIC', '-o', 'lib/libf.so'])) skip('no gcc here');
      const main = 'int f(void); int main(void){return f();}';
      for (const tags of ['--enable-new-dtags', '--disable-new-dtags']) {
        const linked = compile(main, ['-o', 'bin/p', '-Llib', '-lf', `-Wl,${tags},-rpath,$ORIGIN/../lib`]);
        assert(linked);
        const needs = libraryFinder().needs(join(realpathSync(dir), 'bin/p'));
        assert(needs !== null);
        assert.deepEqual(needs.missing, []);
        assert.equal(realpathSync(needs.libraries[0]!), realpathSync(join(dir, 'lib/libf.so')));
      }
      assert(compile(main, ['-o', 'bin/q', '-Llib', '-lf']));
      assert.deepEqual(libraryFinder().needs(join(dir, 'bin/q'))?.missing, ['libf.so']);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
