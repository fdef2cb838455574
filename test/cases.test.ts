// One behaviour a folder: test/cases/<name>/{Buildfile, context/, expect.json}, built through the real command line, and
// by Debian's buildah where the case says that it does the same.
// `UPDATE_CASES=1` rewrites what the expect.json files say, for the keys that they have, and asks buildah about cases that
// don't tell of it; read the difference.
import { describe, expect, test } from 'vitest';
import { asksOnly, build, makeBase, optionsOf, sharedBase } from './support/case-build.js';
import { caseNames, type Expectation, readExpectation, writeExpectation } from './support/case-folder.js';
import { errorLines, holds, seenImage, seenText } from './support/case-seen.js';
import { comparable, openPeer, type Peer, whyNoPeer } from './support/peer.js';
import { type Person, people } from './support/tsbuild.js';

const update = process.env.UPDATE_CASES === '1';
const builders = update ? people().slice(0, 1) : people();
const cases = caseNames().map((name) => ({ name, expected: readExpectation(name) }));

for (const [index, person] of builders.entries()) {
  describe.concurrent(`built as ${person.name}`, () => {
    for (const { name, expected } of cases) {
      if (index > 0 && !expected.user) continue;
      test(name, async () => {
        const seen = await look(person, name, expected);
        if (update) writeExpectation(name, await withPeer(name, seen));
        else expect(seen).toEqual(expected);
      });
    }
  });
}

const noPeer = builders[0]?.name === 'root' ? whyNoPeer() : 'buildah is asked by root only';
let peer: Promise<Peer> | undefined;

describe.concurrent('built by buildah', () => {
  if (noPeer !== null || update) test.skip(noPeer ?? 'nothing to update', () => {});
  for (const { name, expected } of cases) {
    if (noPeer !== null || update || expected.peer !== true) continue;
    test(name, async () => {
      const { ours, theirs } = await both(name, expected);
      expect(theirs).toEqual(ours);
    });
  }
});

/** The expectation again, with what was seen in place of all that differs. */
async function look(person: Person, name: string, expected: Expectation): Promise<Expectation> {
  const { dir, tag, result, image, requests } = await build(person, name, expected);
  const seen = { ...expected, exit: result.code ?? -1, ...seenText(expected, result, update) };
  if (expected.requests) Object.assign(seen, { requests });
  if (expected.nowhere) Object.assign(seen, { nowhere: expected.nowhere.filter((text) => !holds(person.store, text)) });
  if (image === null) return expected.exit === 0 && !asksOnly(expected) ? { ...seen, error: errorLines(result) } : seen;
  Object.assign(seen, seenImage(expected, image));
  if (expected.output === undefined) return seen;
  const { stdout, stderr } = await person.run(['run', tag, ...(expected.run ?? [])], optionsOf(expected, dir));
  return { ...seen, output: stdout + stderr };
}

async function both(name: string, expected: Expectation): Promise<{ ours: unknown; theirs: unknown }> {
  const root = builders[0]!;
  await makeBase(root);
  peer ??= openPeer(root, sharedBase);
  const { image } = await build(root, name, expected);
  const theirs = await (await peer).build(name, expected);
  return comparable(image, theirs);
}

/** Whether buildah does the same; where it doesn't, the first difference, which a person replaces by the reason. */
async function withPeer(name: string, seen: Expectation): Promise<Expectation> {
  if (noPeer !== null || seen.peer !== undefined) return seen;
  const { source, ...rest } = seen;
  const answer = await both(name, seen).then(
    ({ ours, theirs }) => firstDifference(ours, theirs) ?? true,
    (error: Error) => `? ${error.message.trimEnd().split('\n').at(-1)}`,
  );
  return { source, peer: answer, ...rest };
}

function firstDifference(ours: unknown, theirs: unknown): string | null {
  const [a = [], b = []] = [ours, theirs].map((value) => JSON.stringify(value, null, 1).split('\n'));
  if (a.join() === b.join()) return null;
  const onlyIn = (from: readonly string[], other: readonly string[]): string =>
    from
      .filter((line) => !other.includes(line))
      .join()
      .replaceAll(/ +/g, ' ')
      .slice(0, 300);
  return `? ${onlyIn(a, b)} | ${onlyIn(b, a)}`;
}
