// One behaviour a folder: test/cases/<name>/{Buildfile, context/, expect.json}, built through the real command line, and
// by Debian's buildah where the case says that it does the same.
// `UPDATE_CASES=1` rewrites what the expect.json files say, for the keys that they have, and asks buildah about cases that
// don't tell of it; read the difference.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  caseNames,
  copyCase,
  type Expectation,
  readExpectation,
  runShell,
  writeExpectation,
} from './support/case-folder.js';
import { errorLines, holds, seenImage, seenText } from './support/case-seen.js';
import { type FileServer, serverArgument, startFileServer } from './support/file-server.js';
import { type ImageFiles, readImageFiles } from './support/layer-files.js';
import { comparable, openPeer, type Peer, whyNoPeer } from './support/peer.js';
import { type Person, people, type Result, type RunOptions } from './support/tsbuild.js';

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

interface Built {
  /** The copy of the case's folder that it was built from. */
  readonly dir: string;
  readonly tag: string;
  readonly result: Result;
  /** Null: there is none. */
  readonly image: ImageFiles | null;
  readonly requests: readonly string[];
}

const built = new Map<string, Promise<Built>>();

/** Each case is built once for each person, whoever asks first. */
function build(person: Person, name: string, expected: Expectation): Promise<Built> {
  const key = `${person.name} ${name}`;
  const running = built.get(key) ?? buildNow(person, name, expected);
  built.set(key, running);
  return running;
}

async function buildNow(person: Person, name: string, expected: Expectation): Promise<Built> {
  await base(person);
  const dir = copyCase(person, name);
  const options = optionsOf(expected, dir);
  for (const command of expected.before ?? []) {
    if (typeof command === 'string') await runShell(person, command, dir);
    else await requireSuccess(person, command, options);
  }
  const tag = `case-${name}:1`;
  const context = expected.context ?? 'context';
  const args = ['-f', 'Buildfile', '-t', tag, '--iidfile', 'digest', ...(expected.args ?? []), context];
  const server = existsSync(join(dir, 'served')) ? await startFileServer(join(dir, 'served')) : null;
  const result = await runWith(server, person, args, options);
  await server?.close();
  const image =
    result.code === 0 && !asksOnly(expected)
      ? await readImageFiles(person.store, readFileSync(join(dir, 'digest'), 'utf8'))
      : null;
  return { dir, tag, result, image, requests: server?.requests ?? [] };
}

async function runWith(
  server: FileServer | null,
  person: Person,
  args: readonly string[],
  options: RunOptions,
): Promise<Result> {
  if (server === null) return person.run(args, options);
  const words = [...serverArgument(server), ...args.map((word) => word.replaceAll('$SERVER', server.url))];
  const { code, stdout, stderr } = await person.run(words, options);
  return { code, stdout, stderr: stderr.replaceAll(server.url, '$SERVER') };
}

/** With --call nothing is built. */
function asksOnly({ stdout, findings }: Expectation): boolean {
  return stdout !== undefined || findings !== undefined;
}

function optionsOf(expected: Expectation, cwd: string): RunOptions {
  return { cwd, env: expected.env ?? {} };
}

const sharedBase = 'host://sh,coreutils';
const bases = new Map<Person, Promise<void>>();

/** Made once before all, so that the cases don't all make it at the same time. */
function base(person: Person): Promise<void> {
  const make = (): Promise<void> => {
    const cwd = person.dir('base');
    writeFileSync(join(cwd, 'Buildfile'), `FROM ${sharedBase}\n`);
    return requireSuccess(person, ['-q', '-t', 'case-base:1', '.'], { cwd });
  };
  const made = bases.get(person) ?? make();
  bases.set(person, made);
  return made;
}

async function requireSuccess(person: Person, args: readonly string[], options: RunOptions): Promise<void> {
  const { code, stderr } = await person.run(args, options);
  if (code !== 0) throw new Error(`tsbuild ${args.join(' ')}: ${stderr}`);
}

async function both(name: string, expected: Expectation): Promise<{ ours: unknown; theirs: unknown }> {
  const root = builders[0]!;
  await base(root);
  peer ??= openPeer(root, { name: sharedBase, tag: 'case-base:1' });
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
