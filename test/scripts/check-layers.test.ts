import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkLayers } from '../../scripts/check-layers.js';

let tree: string;
beforeAll(() => {
  tree = mkdtempSync(join(tmpdir(), 'tsbuild-layers-'));
  const filter = (path: string): boolean => !/node_modules|native\/build/.test(path);
  for (const name of ['src', 'store', 'native', 'layers.json'])
    cpSync(name, join(tree, name), { recursive: true, filter });
});
afterAll(() => rmSync(tree, { recursive: true, force: true }));

/** Problems of the tree with one more file. */
function withFile(path: string, text: string): string[] {
  writeFileSync(join(tree, path), text);
  const problems = checkLayers(tree);
  rmSync(join(tree, path));
  return problems;
}

test('the tree keeps its own layering', () => {
  expect(checkLayers(tree)).toEqual([]);
});

test('an upward import is found', () => {
  const problems = withFile('src/base/planted.ts', "import { solve } from '../solver/index.js';\n");
  expect(problems).toContain('src/base/planted.ts: src/base must not import src/solver');
});

test('a type-only and a dynamic upward import are found', () => {
  expect(withFile('store/planted.ts', "import type { Span } from '../src/base/index.js';\n")).toHaveLength(1);
  expect(withFile('src/graph/planted.ts', "const x = await import('../cli/main.js');\n")).not.toEqual([]);
});

test('going past a folder’s index is found', () => {
  const problems = withFile('src/report/planted.ts', "export { renderError } from '../base/render-error.js';\n");
  expect(problems).toEqual(['src/report/planted.ts: import src/base by its index, not src/base/render-error.ts']);
});

test('a cycle inside a folder is found', () => {
  writeFileSync(join(tree, 'src/report/one.ts'), "import './two.js';\n");
  const problems = withFile('src/report/two.ts', "import { x } from './one.js';\n");
  rmSync(join(tree, 'src/report/one.ts'));
  expect(problems.join()).toContain('import cycle');
});
