// What a case's build did, in the words of its expect.json.
import { execFileSync } from 'node:child_process';
import type { Expectation } from './case-folder.js';
import type { ImageFiles } from './layer-files.js';
import type { Result } from './tsbuild.js';

/** What a build printed, where the case says what it should. */
export function seenText(expected: Expectation, result: Result, update: boolean): Partial<Expectation> {
  const lines = (key: 'progress' | 'error', found: readonly string[]): Partial<Expectation> => {
    const wanted = expected[key];
    const keep = inOrder(wanted ?? [], found) && !(update && key === 'error');
    return wanted === undefined || keep ? {} : { [key]: found };
  };
  return {
    ...lines('progress', progressLines(result)),
    ...lines('error', result.code === 0 ? [] : errorLines(result)),
    ...(expected.stdout && { stdout: result.stdout.replace(/\n$/, '').split('\n') }),
    ...(expected.findings && { findings: seenFindings(result) }),
  };
}

interface CheckJson {
  readonly warnings: readonly {
    readonly ruleName: string;
    readonly detail: string;
    readonly location: {
      readonly sourceIndex?: number;
      readonly ranges: readonly { readonly start: { readonly line: number } }[];
    };
  }[];
  readonly sources: readonly { readonly filename: string }[];
}

/** 'Buildfile:3 UndefinedVar: …'. */
function seenFindings({ stdout }: Result): string[] {
  const { warnings, sources } = JSON.parse(stdout) as CheckJson;
  return warnings.map(({ ruleName, detail, location }) => {
    const place = `${sources[location.sourceIndex ?? 0]?.filename}:${location.ranges[0]?.start.line}`;
    return `${place} ${ruleName}: ${detail}`;
  });
}

/** Without times and digests. */
function progressLines({ stderr }: Result): string[] {
  return stderr
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('built '))
    .map((line) => line.replace(/^(#\d+ )[\d.]+ /, '$1').replace(/ (DONE|ERROR after) [\d.]+s$/, ' $1'));
}

export function errorLines({ stderr }: Result): string[] {
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

/** True if a file below `dir` contains `text`. */
export function holds(dir: string, text: string): boolean {
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

/** What the image is, where the case says what it should be. */
export function seenImage(expected: Expectation, image: ImageFiles): Partial<Expectation> {
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
