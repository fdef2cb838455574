// One behaviour a folder: test/cases/<name>/{Buildfile, context/, expect.json}, built through the real command line.
// `UPDATE_CASES=1` rewrites what the expect.json files say, for the keys that they have; read the difference.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, lutimesSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { formatJson } from './support/case-json.js';
import { type ImageFiles, readImageFiles } from './support/layer-files.js';
import { isRoot, type Person, people, type Result, type RunOptions } from './support/tsbuild.js';

interface Expectation {
  /** Where the behaviour is specified. */
  readonly source: string;
  /** Also built as an ordinary user. */
  readonly user?: true;
  /** What happens before: words for tsbuild, or a shell command in the copy of the case's folder, for what git can't hold. */
  readonly before?: readonly (string | readonly string[])[];
  /** More arguments of the build. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly exit: number;
  /** Member names of each layer above the base image's. */
  readonly layers?: readonly (readonly string[])[];
  /** Part of what the image's config says for containers; null: nothing of that name. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Part of the rest of the image's config. */
  readonly image?: Readonly<Record<string, unknown>>;
  /** `created_by` of the history above the base image's. */
  readonly history?: readonly string[];
  /** Files as they are in the finished image; null: no such file. */
  readonly tree?: Readonly<Record<string, Readonly<Record<string, unknown>> | null>>;
  /** Words after `tsbuild run IMAGE`, and what that prints. */
  readonly run?: readonly string[];
  readonly output?: string;
  /** Lines of the progress of a build that succeeds, in this order. */
  readonly progress?: readonly string[];
  /** Lines of the message of one that fails, in this order. */
  readonly error?: readonly string[];
  /** Texts that no file of the store holds. */
  readonly nowhere?: readonly string[];
}

const update = process.env.UPDATE_CASES === '1';
const casesDir = new URL('cases/', import.meta.url).pathname;
const names = readdirSync(casesDir).sort();

/** Made once before all, so that the cases don't all make it at the same time. */
const sharedBase = 'FROM host://sh,coreutils\n';

const builders = update ? people().slice(0, 1) : people();

for (const [index, person] of builders.entries()) {
  describe.concurrent(`built as ${person.name}`, () => {
    beforeAll(async () => {
      const dir = person.dir('base');
      writeFileSync(join(dir, 'Buildfile'), sharedBase);
      await requireSuccess(person, ['.'], { cwd: dir });
    });
    for (const name of names) {
      const expectation = readExpectation(name);
      if (index > 0 && !expectation.user) continue;
      test(name, async () => {
        const seen = await build(person, name, expectation);
        if (update) writeFileSync(join(casesDir, name, 'expect.json'), formatJson(seen));
        else expect(seen).toEqual(expectation);
      });
    }
  });
}

function readExpectation(name: string): Expectation {
  return JSON.parse(readFileSync(join(casesDir, name, 'expect.json'), 'utf8')) as Expectation;
}

/** The expectation again, with what was seen in place of all that differs. */
async function build(person: Person, name: string, expected: Expectation): Promise<Expectation> {
  const dir = copyCase(person, name);
  const options = { cwd: dir, env: expected.env ?? {} };
  for (const command of expected.before ?? []) {
    if (typeof command === 'string') runShell(person, command, dir);
    else await requireSuccess(person, command, options);
  }
  const tag = `case-${name}:1`;
  const args = ['-f', 'Buildfile', '-t', tag, '--iidfile', 'digest', ...(expected.args ?? []), 'context'];
  const result = await person.run(args, options);
  const seen = { ...expected, exit: result.code ?? -1, ...seenText(expected, result) };
  if (expected.nowhere) Object.assign(seen, { nowhere: expected.nowhere.filter((text) => !holds(person.store, text)) });
  if (result.code !== 0) return expected.exit === 0 ? { ...seen, error: errorLines(result) } : seen;
  const digest = readFileSync(join(dir, 'digest'), 'utf8');
  Object.assign(seen, seenImage(expected, await readImageFiles(person.store, digest)));
  if (expected.output === undefined) return seen;
  const { stdout, stderr } = await person.run(['run', tag, ...(expected.run ?? [])], options);
  return { ...seen, output: stdout + stderr };
}

function runShell(person: Person, command: string, dir: string): void {
  const as = isRoot && person.name === 'user' ? ['runuser', '-u', 'tsbuild-test', '--'] : [];
  const [program = '', ...words] = [...as, 'sh', '-euc', command];
  execFileSync(program, words, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
}

async function requireSuccess(person: Person, args: readonly string[], options: RunOptions): Promise<void> {
  const { code, stderr } = await person.run(args, options);
  if (code !== 0) throw new Error(`tsbuild ${args.join(' ')}: ${stderr}`);
}

/** A copy with fixed times and modes, whatever git and the umask made of the original. */
function copyCase(person: Person, name: string): string {
  const dir = person.dir(name);
  cpSync(join(casesDir, name), dir, { recursive: true, verbatimSymlinks: true });
  mkdirSync(join(dir, 'context'), { recursive: true });
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) chmodSync(path, 0o755);
    if (entry.isFile()) chmodSync(path, path.endsWith('.sh') ? 0o755 : 0o644);
    lutimesSync(path, 1_700_000_000, 1_700_000_000);
  }
  return person.own(dir);
}

function seenText(expected: Expectation, result: Result): Partial<Expectation> {
  const lines = (key: 'progress' | 'error', found: readonly string[]): Partial<Expectation> => {
    const wanted = expected[key];
    const keep = inOrder(wanted ?? [], found) && !(update && key === 'error');
    return wanted === undefined || keep ? {} : { [key]: found };
  };
  return {
    ...lines('progress', progressLines(result)),
    ...lines('error', result.code === 0 ? [] : errorLines(result)),
  };
}

/** Without times and digests. */
function progressLines({ stderr }: Result): string[] {
  return stderr
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('built '))
    .map((line) => line.replace(/^(#\d+ )[\d.]+ /, '$1').replace(/ (DONE|ERROR after) [\d.]+s$/, ' $1'));
}

function errorLines({ stderr }: Result): string[] {
  const lines = stderr.trimEnd().split('\n');
  const first = lines.findIndex((line) => line.startsWith('error['));
  return first < 0 ? lines : lines.slice(first);
}

function inOrder(wanted: readonly string[], found: readonly string[]): boolean {
  let at = 0;
  for (const line of wanted) {
    at = found.indexOf(line, at) + 1;
    if (at === 0) return false;
  }
  return wanted.length > 0;
}

function holds(dir: string, text: string): boolean {
  try {
    return execFileSync('grep', ['-rlF', '-e', text, dir], { encoding: 'utf8' }) !== '';
  } catch {
    return false; // grep says by its exit code that there is none
  }
}

interface History {
  readonly created_by?: string;
  readonly empty_layer?: boolean;
}

function seenImage(expected: Expectation, image: ImageFiles): Partial<Expectation> {
  const history = image.config.history as readonly History[];
  // The bases that we make ourselves say FROM in their history.
  const own = history.findLastIndex(({ created_by }) => created_by?.startsWith('FROM ')) + 1;
  const ownLayers = history.slice(own).filter((entry) => !entry.empty_layer).length;
  const config = (image.config.config ?? {}) as Record<string, unknown>;
  const filled = history.filter((entry) => !entry.empty_layer).length;
  if (filled !== image.diffIds.length)
    throw new Error(`the history tells of ${filled} layers of ${image.diffIds.length}`);
  for (const members of image.members.slice(image.members.length - ownLayers)) requireOrder(members);
  return {
    ...(expected.layers && { layers: ownLayers === 0 ? [] : image.members.slice(-ownLayers) }),
    ...(expected.history && { history: history.slice(own).map((entry) => entry.created_by ?? '') }),
    ...(expected.config && { config: seenPart(expected.config, config) }),
    ...(expected.image && { image: seenPart(expected.image, image.config) }),
    ...(expected.tree && { tree: seenTree(expected.tree, image) }),
  };
}

/** Every layer of ours: in byte order of path, each name once, every directory before what is in it. */
function requireOrder(members: readonly string[]): void {
  const paths = members.map((name) => Buffer.from(name.replace(/\/$/, '')));
  const directories = new Set(['', ...members.filter((name) => name.endsWith('/')).map((name) => name.slice(0, -1))]);
  paths.forEach((path, i) => {
    const before = paths[i - 1];
    if (before && before.compare(path) >= 0) throw new Error(`${path} comes after ${before}`);
    const parent = path.toString().replace(/(^|\/)[^/]*$/, '');
    if (!directories.has(parent)) throw new Error(`${path} comes without the directory ${parent}`);
  });
}

function seenPart(
  expected: Readonly<Record<string, unknown>>,
  found: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(Object.keys(expected).map((key) => [key, found[key] ?? null]));
}

function seenTree(expected: NonNullable<Expectation['tree']>, image: ImageFiles): NonNullable<Expectation['tree']> {
  return Object.fromEntries(
    Object.entries(expected).map(([path, wanted]) => {
      const file = image.tree.get(path) ?? null;
      return [path, file === null || wanted === null ? (file as never) : seenPart(keysOf(wanted, file), { ...file })];
    }),
  );
}

/** A new case may leave a file's description to the first update. */
function keysOf(wanted: Readonly<Record<string, unknown>>, file: object): Readonly<Record<string, unknown>> {
  if (Object.keys(wanted).length > 0) return wanted;
  const { mtime: _, ...rest } = file as Record<string, unknown>;
  return rest;
}
