// What the README and the help texts tell people to type: the README's commands are run, the examples of help understood.
import { type ChildProcess, execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { machine } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { hasRegistry, startRegistry } from '../store/transport-server.js';
import { installed, output, people } from '../support/tsbuild.js';

interface Shown {
  readonly command: string;
  /** Lines that the README shows below it. */
  readonly prints: readonly string[];
}

const readme = readFileSync('README.md', 'utf8');
const shown = consoleBlocks(readme);

/** The '$ ' lines of all console blocks, without their comments. */
function consoleBlocks(text: string): Shown[] {
  return [...text.matchAll(/^```console\n(.*?)^```/gms)].flatMap(([, block = '']) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((entry) => {
        const [line = '', ...prints] = entry.trimEnd().split('\n');
        return { command: line.replace(/\s+#\s.*$/, ''), prints };
      }),
  );
}

/** Whoever reads a README is an ordinary user. */
const reader = people().at(-1)!;

describe('the README', () => {
  let dir: string;
  beforeAll(() => {
    dir = reader.dir('checkout');
    cpSync('builds', join(dir, 'builds'), { recursive: true });
    if (installed('busybox')) {
      mkdirSync(join(dir, 'rootfs/bin'), { recursive: true });
      copyFileSync('/bin/busybox', join(dir, 'rootfs/bin/sh'));
      execFileSync('tar', ['-C', join(dir, 'rootfs'), '-czf', join(dir, 'rootfs.tar.gz'), '.']);
    }
    reader.own(dir);
  });

  const needs: readonly [pattern: RegExp, met: boolean, what: string][] = [
    [/localhost:5000/, hasRegistry(), 'docker-registry'],
    [/--debian/, installed('mmdebstrap'), 'mmdebstrap'],
    [/rootfs\.tar\.gz/, installed('busybox'), 'busybox'],
  ];

  for (const { command, prints } of shown.filter((line) => line.command.startsWith('bin/tsbuild '))) {
    const lacks = needs.find(([pattern, met]) => pattern.test(command) && !met)?.[2];
    test.skipIf(lacks)(`is right about ${command}${lacks ? ` (skipped: no ${lacks})` : ''}`, async () => {
      const registry = command.includes('localhost:5000') ? await startRegistry() : null;
      const said = registry ? command.replace('localhost:5000', registry.name) : command;
      const printed = output(await reader.run(said.split(/\s+/).slice(1), { cwd: dir }));
      if (prints.length > 0)
        expect(printed.trimEnd().split('\n').map(atAnyTime)).toEqual(prints.map(onThisMachine).map(atAnyTime));
    });
  }

  test('names npm scripts that there are', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
    const named = [...readme.matchAll(/npm (?:run ([\w:-]+)|(test)\b)/g)].map(([, script, own]) => script ?? own);
    expect(named.length).toBeGreaterThan(3);
    for (const name of named) expect(scripts).toHaveProperty([name!]);
  });
});

/** Builds have ids of their own, and are told by their age. */
function atAnyTime(line: string): string {
  return line.replace(/^build [0-9a-f]{12}, [^:]+:/, 'build ID, AGO:');
}

/** The README was written on an x86-64 machine. */
function onThisMachine(line: string): string {
  return line.replace('x86_64', machine());
}

describe('the help', () => {
  /** Where no example finds what it names: none gets further than understanding its words. */
  async function exitCode(words: readonly string[]): Promise<[number | null, string]> {
    const empty = reader.dir('empty');
    const path = join(empty, 'bin');
    mkdirSync(path);
    symlinkSync(process.execPath, join(path, 'node'));
    symlinkSync('/usr/bin/readlink', join(path, 'readlink'));
    const options = { cwd: empty, env: { PATH: path, TSBUILD_STORE: join(empty, 'store') } };
    if (words[0] === 'serve') return servingCode(reader.start(words, options));
    const { code, stderr } = await reader.run(words, { ...options, input: 'secret' });
    return [code, stderr];
  }

  test('has examples that are understood, for every command and as a whole', async () => {
    const overview = output(await reader.run(['help']));
    const listed = /^commands:\n(.*?)\n\n/ms.exec(overview)![1]!.split('\n');
    const commands = listed.map((line) => line.trim().split(/ {2,}/)[0]!);
    expect(commands).toContain('build');
    for (const text of [
      overview,
      ...(await Promise.all(commands.map((name) => reader.run(['help', ...name.split(' ')])))).map(output),
    ]) {
      const examples = exampleCommands(text);
      expect(examples, text).not.toEqual([]);
      for (const words of examples) {
        const [code, stderr] = await exitCode(words);
        const result = `tsbuild ${words.join(' ')} ended with ${code}: ${stderr}`;
        expect(result).toMatch(/ ended with (0: |1: error\[(?!INTERNAL))/);
      }
    }
  });
});

/** A server goes on until it is ended. */
function servingCode(server: ChildProcess): Promise<[number | null, string]> {
  let said = '';
  const hear = (text: Buffer): void => {
    said += text;
    if (said.includes('serving at')) server.kill('SIGTERM');
  };
  server.stdout?.on('data', hear);
  server.stderr?.on('data', hear);
  return new Promise((resolve) => server.on('close', (code) => resolve([code, said])));
}

/** The words of each tsbuild command below 'example:' or 'examples:'. */
function exampleCommands(help: string): string[][] {
  const [, after = ''] = /^examples?:\n((?: {2}.*\n?)+)/m.exec(help) ?? [];
  return after
    .replace(/ <\S+/g, '')
    .split(/\n|&&|\|/)
    .flatMap((line) => {
      const command = /^\s*tsbuild (.*?)(?:\s{2,}.*)?$/.exec(line.trimEnd())?.[1];
      if (!command) return [];
      return [[...command.matchAll(/"([^"]*)"|\S+/g)].map(([word, quoted]) => quoted ?? word)];
    });
}
