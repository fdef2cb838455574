// Every case built by BuildKit too, where it is installed: the same image, or refused by both. Where that is not so,
// docs/buildkit.md says why.
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { openBuildkit, wholeImage, whyNoBuildkit } from './support/buildkit.js';
import { asksOnly, build, makeBase, sharedBase } from './support/case-build.js';
import { caseNames, readExpectation } from './support/case-folder.js';
import { people } from './support/tsbuild.js';

const [root] = people();
const differences = readDifferences();
const names = caseNames().filter((name) => !asksOnly(readExpectation(name)));

test('what is done otherwise than by BuildKit are cases', () => {
  const patterns = [...differences.keys()];
  expect(patterns.filter((pattern) => !names.some((name) => matches(pattern, name)))).toEqual([]);
});

describe.concurrent('as BuildKit does it', () => {
  const why = whyNoBuildkit();
  if (why !== null || root === undefined) return void test.skip(`BuildKit can't be asked: ${why}`, () => {});
  const opened = makeBase(root).then(() => openBuildkit(root, sharedBase));
  afterAll(async () => (await opened).close());

  for (const name of names) {
    const otherwise = [...differences.keys()].some((pattern) => matches(pattern, name));
    test(`${name}${otherwise ? ' (differs)' : ''}`, async () => {
      const buildkit = await opened;
      const expected = readExpectation(name);
      const { image } = await build(root, name, expected);
      const theirs = await buildkit.build(name, expected).then(wholeImage, (error: Error) => error.message);
      if (otherwise) expect(theirs).not.toEqual(wholeImage(image));
      else expect(theirs).toEqual(wholeImage(image));
    });
  }
});

/** Cases, `*` standing for any text, and why they differ: the rows of the document's tables. */
function readDifferences(): Map<string, string> {
  const rows = readFileSync('docs/buildkit.md', 'utf8').matchAll(/^\| (.*) \| (`.*`) \|$/gm);
  return new Map(
    [...rows].flatMap(([, why = '', cells = '']) =>
      [...cells.matchAll(/`([^`]+)`/g)].map(([, pattern = '']) => [pattern, why] as const),
    ),
  );
}

function matches(pattern: string, name: string): boolean {
  return new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name);
}
