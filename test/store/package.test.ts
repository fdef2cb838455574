// @tsbuild/store as others have it: from its tarball, in a directory of its own, with nothing but the dependencies that it
// declares. Every example of its README is type-checked there and run there as a whole program.
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { transformSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { outcome } from './content-samples.js';

const readme = readFileSync('store/README.md', 'utf8');
const examples = readme
  .split(/^## /m)
  .slice(1)
  .flatMap((section) => {
    const [title = ''] = section.split('\n');
    return [...section.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = '']) => ({ title, code }));
  });

let place: string;
let installed: string;
beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), 'tsbuild-package-'));
  execFileSync('chmod', ['755', place]);
  execFileSync('sh', ['scripts/pack.sh', join(place, 'packages')], { stdio: 'pipe' });
  installed = join(place, 'project');
  for (const name of ['native', 'store'] as const) {
    const dir = join(installed, 'node_modules/@tsbuild', name);
    mkdirSync(dir, { recursive: true });
    const tarball = readdirSync(join(place, 'packages')).find((file) => file.startsWith(`tsbuild-${name}-`))!;
    execFileSync('tar', ['-C', dir, '--strip-components=1', '-xzf', join(place, 'packages', tarball)]);
  }
  for (const name of ['native', 'store'] as const) {
    for (const dependency of Object.keys(facts(name).dependencies)) link(dependency);
  }
  link('@types/node');
  writeFileSync(join(installed, 'package.json'), '{"type":"module"}\n');
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

interface Facts {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly private?: boolean;
}

function facts(name: string): Facts {
  return JSON.parse(readFileSync(join(installed, 'node_modules/@tsbuild', name, 'package.json'), 'utf8')) as Facts;
}

function link(name: string): void {
  const target = join(installed, 'node_modules', name);
  if (existsSync(target)) return;
  mkdirSync(dirname(target), { recursive: true });
  symlinkSync(resolve('node_modules', name), target);
}

test('the package needs its native part and libraries, and nothing of the builder', () => {
  expect(facts('store').private).toBeUndefined();
  const own = Object.keys(facts('store').dependencies).filter((name) => name.includes('tsbuild'));
  expect(own).toEqual(['@tsbuild/native']);
  const files = readdirSync(join(installed, 'node_modules/@tsbuild/store'), { recursive: true, encoding: 'utf8' });
  for (const file of ['README.md', 'API.md', 'FORMAT.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts']) {
    expect(files).toContain(file);
  }
  for (const file of files.filter((each) => /\.(js|d\.ts)$/.test(each))) {
    const text = readFileSync(join(installed, 'node_modules/@tsbuild/store', file), 'utf8');
    expect(text, file).not.toMatch(/from '(#store|\.\.\/\.\.\/\.\.\/|[^']*\/src\/)/);
  }
});

test('the API documentation lists every export', async () => {
  const text = readFileSync(join(installed, 'node_modules/@tsbuild/store/API.md'), 'utf8');
  const listed = new Set([...text.matchAll(/^### (.+)$/gm)].map(([, name]) => name));
  const index = readFileSync('store/index.ts', 'utf8').replace(/^\/\/.*$/gm, '');
  const names = [...index.matchAll(/\{([^}]*)\}/g)].flatMap(([, list = '']) =>
    list.split(',').map((name) => name.trim().replace(/^type /, '')),
  );
  expect(names.filter((name) => name !== '' && !listed.has(name))).toEqual([]);
  expect(listed.size).toBeGreaterThanOrEqual(names.filter(Boolean).length);
  expect(readFileSync('store/API.md', 'utf8') === text, 'store/API.md is out of date: npm run api').toBe(true);
});

describe('the examples of the README', () => {
  test('are type-checked as they stand', () => {
    for (const [i, { code }] of examples.entries()) writeFileSync(join(installed, `example-${i}.ts`), code);
    const options = { strict: true, module: 'nodenext', target: 'ES2022', noEmit: true, types: ['node'] };
    writeFileSync(
      join(installed, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { ...options, skipLibCheck: true }, include: ['*.ts'] }),
    );
    execFileSync(resolve('node_modules/.bin/tsc'), ['-p', installed], { stdio: 'pipe', encoding: 'utf8' });
  });

  test('are one at least for each part', () => {
    expect(examples.length).toBeGreaterThan(7);
    expect(examples.map(({ title }) => title)).toEqual(expect.arrayContaining(['Layers', 'Registries', 'Checking']));
  });

  for (const [i, { title, code }] of examples.entries()) {
    test(`run: ${title}`, async () => {
      const program = join(installed, `run-${i}.mjs`);
      writeFileSync(program, transformSync(code, { loader: 'ts', format: 'esm' }).code);
      const cwd = mkdtempSync(join(place, 'cwd-'));
      // Whatever the repository says, the package finds its native part by itself.
      const env = { PATH: process.env.PATH, HOME: cwd };
      const child = spawn(process.execPath, [program], { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] });
      const { code: exit, output } = await outcome(child);
      expect(exit, output).toBe(0);
      expect(output).not.toBe('');
    });
  }
});
