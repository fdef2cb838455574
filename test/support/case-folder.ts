// The folders of test/cases: what stands in them, and a copy of one that may be built.
import { execFile } from 'node:child_process';
import { chmodSync, cpSync, lutimesSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { formatJson } from './case-json.js';
import { isRoot, type Person } from './tsbuild.js';

export interface Expectation {
  /** Where the behaviour is specified. */
  readonly source: string;
  /** True: Debian's buildah makes the same of it, or refuses it as well. A text: why it doesn't, or can't be asked. */
  readonly peer?: true | string;
  /** Also built as an ordinary user. */
  readonly user?: true;
  /** What happens before: words for tsbuild, or a shell command in the copy of the case's folder, for what git can't hold. */
  readonly before?: readonly (string | readonly string[])[];
  /** More arguments of the build. */
  readonly args?: readonly string[];
  /** What the build is given for a context; the folder's directory `context`, if nothing is said. */
  readonly context?: string;
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
  /** Lines that a build which is only asked about prints. */
  readonly stdout?: readonly string[];
  /** The same of --call=check,format=json, each finding on a line. */
  readonly findings?: readonly string[];
  /**
   * Requests that arrived at the server of a case that has a directory `served`, which the build argument SERVER names and
   * which is $SERVER in `args`, `context` and all texts here. See file-server.ts.
   */
  readonly requests?: readonly string[];
  /** Texts that no file of the store holds. */
  readonly nowhere?: readonly string[];
}

const casesDir = new URL('../cases/', import.meta.url).pathname;

export function caseNames(): string[] {
  return readdirSync(casesDir).sort();
}

export function readExpectation(name: string): Expectation {
  return JSON.parse(readFileSync(join(casesDir, name, 'expect.json'), 'utf8')) as Expectation;
}

export function writeExpectation(name: string, expectation: Expectation): void {
  writeFileSync(join(casesDir, name, 'expect.json'), formatJson(expectation));
}

/** A copy with fixed times and modes, whatever git and the umask made of the original. */
export function copyCase(person: Person, name: string): string {
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

/** A command of `before`, as the person who builds. */
export async function runShell(person: Person, command: string, dir: string): Promise<void> {
  const as = isRoot && person.name === 'user' ? ['runuser', '-u', 'tsbuild-test', '--'] : [];
  const [program = '', ...words] = [...as, 'sh', '-euc', command];
  await promisify(execFile)(program, words, { cwd: dir });
}
