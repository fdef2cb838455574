// A case built by the real command line, once for each person.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { copyCase, type Expectation, runShell } from './case-folder.js';
import { type FileServer, serverArgument, startFileServer } from './file-server.js';
import { type ImageFiles, readImageFiles } from './layer-files.js';
import type { Person, Result, RunOptions } from './tsbuild.js';

export interface Built {
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
export function build(person: Person, name: string, expected: Expectation): Promise<Built> {
  const key = `${person.name} ${name}`;
  const running = built.get(key) ?? buildNow(person, name, expected);
  built.set(key, running);
  return running;
}

async function buildNow(person: Person, name: string, expected: Expectation): Promise<Built> {
  await makeBase(person);
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
export function asksOnly({ stdout, findings }: Expectation): boolean {
  return stdout !== undefined || findings !== undefined;
}

export function optionsOf(expected: Expectation, cwd: string): RunOptions {
  return { cwd, env: expected.env ?? {} };
}

/** What the cases build on: as they call it, and its tag once it is made. */
export const sharedBase = { name: 'host://sh,coreutils', tag: 'case-base:1' };
const bases = new Map<Person, Promise<void>>();

/** Made once before all, so that the cases don't all make it at the same time. */
export function makeBase(person: Person): Promise<void> {
  const make = (): Promise<void> => {
    const cwd = person.dir('base');
    writeFileSync(join(cwd, 'Buildfile'), `FROM ${sharedBase.name}\n`);
    return requireSuccess(person, ['-q', '-t', sharedBase.tag, '.'], { cwd });
  };
  const made = bases.get(person) ?? make();
  bases.set(person, made);
  return made;
}

async function requireSuccess(person: Person, args: readonly string[], options: RunOptions): Promise<void> {
  const { code, stderr } = await person.run(args, options);
  if (code !== 0) throw new Error(`tsbuild ${args.join(' ')}: ${stderr}`);
}
