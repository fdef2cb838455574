// What a build reads of its context, counted by the kernel's own account of the files that were opened.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { installed } from '../support/tsbuild.js';

const missing = installed('strace') ? '' : ' (skipped: no strace)';
const dir = realpathSync(mkdtempSync(join(tmpdir(), 'tsbuild-reads-')));
const tree = join(dir, 'context', 'tree');
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const names = Array.from({ length: 2500 }, (_, i) => `d${i % 25}/file-${i}`);

/** Files of the tree that one build opened, each as often as it did. */
function opened(): string[] {
  const trace = join(dir, 'trace');
  const build = [
    join(process.cwd(), 'bin/tsbuild'),
    '--store',
    join(dir, 'store'),
    '-q',
    '-t',
    'x',
    join(dir, 'context'),
  ];
  execFileSync('strace', ['-f', '-qq', '-y', '-e', 'trace=open,openat,openat2', '-o', trace, ...build], {
    stdio: 'pipe',
  });
  // With -y the result is 'fd<path>'.
  const paths = [...readFileSync(trace, 'utf8').matchAll(/= \d+<([^>]+)>$/gm)].map((found) => found[1] ?? '');
  return paths.filter((path) => path.startsWith(tree) && path.includes('/file-'));
}

test.skipIf(missing)(`a build reads no file that it knows, and of touched files those${missing}`, async () => {
  for (const name of names) {
    mkdirSync(join(tree, name, '..'), { recursive: true });
    writeFileSync(join(tree, name), name);
  }
  writeFileSync(join(dir, 'context', 'Buildfile'), 'FROM scratch\nCOPY tree /tree\n');
  await new Promise((settled) => setTimeout(settled, 30));

  expect(new Set(opened()).size).toBe(names.length);
  expect(opened()).toEqual([]);

  const touched = join(tree, names[1234] ?? '');
  utimesSync(touched, new Date(), new Date());
  await new Promise((settled) => setTimeout(settled, 30));
  expect(opened()).toEqual([touched]);
  expect(opened()).toEqual([]);
});
