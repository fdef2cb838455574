// Runs the real command line as a user would: as root, and as an ordinary user with subordinate ids.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  accessSync,
  chownSync,
  constants,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll } from 'vitest';

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Somebody who runs tsbuild, with a home, a store and a place for contexts of their own. */
export interface Person {
  readonly name: 'root' | 'user';
  readonly home: string;
  readonly store: string;
  /** A fresh directory that this person owns. */
  dir(name: string): string;
  /** Gives a path and everything in it to this person. */
  own(path: string): string;
  run(args: readonly string[], options?: RunOptions): Promise<Result>;
  start(args: readonly string[], options?: RunOptions): ChildProcess;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** In a process group of its own, as a terminal starts its foreground command. */
  readonly ownGroup?: boolean;
}

export const isRoot = process.getuid?.() === 0;
const testUser = 'tsbuild-test';

/** Root (where the tests run as root) and an ordinary user: every case that both can do runs as both. */
export function people(): Person[] {
  const user = isRoot ? lookupUser(testUser) : userInfo();
  return [...(isRoot ? [person('root', 0, 0)] : []), ...(user ? [person('user', user.uid, user.gid)] : [])];
}

function lookupUser(name: string): { uid: number; gid: number } | null {
  try {
    const id = (flag: string): number =>
      Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }));
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return null;
  }
}

function person(name: Person['name'], uid: number, gid: number): Person {
  const home = mkdtempSync(join(tmpdir(), `tsbuild-${name}-`));
  if (isRoot) chownSync(home, uid, gid);
  const store = join(home, 'store');
  const start = (args: readonly string[], options: RunOptions = {}): ChildProcess =>
    spawn(join(checkout(), 'bin/tsbuild'), args, {
      cwd: options.cwd ?? home,
      ...(isRoot ? { uid, gid } : {}),
      env: { PATH: process.env.PATH, LANG: 'C.UTF-8', HOME: home, TSBUILD_STORE: store, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: options.ownGroup === true,
    });
  const self: Person = {
    name,
    home,
    store,
    dir: (label) => {
      const made = mkdtempSync(join(home, `${label}-`));
      return self.own(made);
    },
    own: (path) => {
      if (uid !== process.getuid?.()) chownAll(path, uid, gid);
      return path;
    },
    run: (args, options) => finished(start(args, options), options?.input),
    start,
  };
  // What a user's steps wrote belongs to subordinate ids: root may remove it, the user itself only inside its namespace.
  afterAll(() => rmSync(home, { recursive: true, force: true }));
  return self;
}

/** Names need not be text. */
function chownAll(path: string | Buffer, uid: number, gid: number): void {
  lchownSync(path, uid, gid);
  if (!lstatSync(path).isDirectory()) return;
  const prefix = Buffer.concat([Buffer.from(path), Buffer.from('/')]);
  for (const name of readdirSync(path, 'buffer')) chownAll(Buffer.concat([prefix, name]), uid, gid);
}

/** What a command that must succeed printed; of one that failed, what it said instead. */
export function output({ code, stdout, stderr }: Result): string {
  if (code !== 0) throw new Error(`tsbuild ended with ${code}:\n${stderr}${stdout}`);
  return stdout;
}

/** Waits for the end of a started command. */
function finished(child: ChildProcess, input?: string): Promise<Result> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(input ?? '');
  return new Promise((done, failed) => {
    child.on('error', failed);
    child.on('close', (code) => done({ code, stdout, stderr }));
  });
}

let reachable: string | undefined;

/** The checkout, at a path that an ordinary user can enter: bound elsewhere where it lies below a private directory. */
function checkout(): string {
  reachable ??= isRoot && !everyoneCanEnter(resolve('.')) ? boundElsewhere(resolve('.')) : resolve('.');
  return reachable;
}

function everyoneCanEnter(dir: string): boolean {
  const open = (statSync(dir).mode & 0o005) === 0o005;
  return open && (dirname(dir) === dir || everyoneCanEnter(dirname(dir)));
}

function boundElsewhere(root: string): string {
  const target = mkdtempSync(join(tmpdir(), 'tsbuild-checkout-'));
  execFileSync('mount', ['--bind', root, target]);
  process.on('exit', () => {
    execFileSync('umount', ['-l', target]);
    rmSync(target, { recursive: true, force: true });
  });
  return target;
}

/** True if a program is installed. */
export function installed(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some((dir) => {
    try {
      accessSync(join(dir, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Writes the files of a build context: 'a/b': text. */
export function writeContext(
  dir: string,
  files: Readonly<Record<string, string>>,
  write: (path: string, text: string) => void,
): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    write(join(dir, name), text);
  }
  return dir;
}
