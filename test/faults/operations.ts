// What people do to a store, each small and on a store that is prepared for it.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const operationNames = ['import', 'tag', 'rmi', 'gc', 'pull', 'push', 'load', 'build', 'build --sync'] as const;
export type OperationName = (typeof operationNames)[number];

export interface Operation {
  readonly args: readonly string[];
  /** The tag that it moves or makes; null: none. */
  readonly moves: string | null;
}

export interface Lab {
  readonly dir: string;
  operation(name: OperationName): Operation;
  /** A fresh copy of the prepared store. */
  store(): string;
  remove(): void;
}

const command = join(import.meta.dirname, '../../bin/tsbuild');

/** The prepared store has kept:1, moved:1, and something to collect. */
export function makeLab(): Lab {
  const dir = mkdtempSync(join(tmpdir(), 'tsbuild-faults-'));
  const prepared = join(dir, 'prepared');
  const tsbuild = (...args: string[]): void => {
    execFileSync(command, args, {
      cwd: dir,
      env: { PATH: process.env.PATH, HOME: dir, TSBUILD_STORE: prepared, SOURCE_DATE_EPOCH: '1' },
    });
  };
  const context = join(dir, 'context');
  const write = (name: string, text: string): void => writeFileSync(join(context, name), text);
  mkdirSync(context);
  cpSync('/bin/busybox', join(context, 'busybox'));
  write('Kept', 'FROM scratch\nCOPY busybox /bin/sh\nCOPY Kept /\n');
  write('Moved', 'FROM kept:1\nCOPY Moved /\nRUN echo moved > /moved\n');
  write('Lost', 'FROM kept:1\nCOPY Lost /\n');
  write('New', 'FROM kept:1\nCOPY New /\nRUN echo new > /new && touch -d @1 /new /\n');
  for (const name of ['Kept', 'Moved', 'Lost'])
    tsbuild('-q', '-t', `${name.toLowerCase()}:1`, '-f', `context/${name}`, 'context');
  tsbuild('push', '-q', 'moved:1', 'oci-layout:layout:1');
  tsbuild('push', '-q', 'lost:1', 'oci-layout:layout:2');
  tsbuild('save', '-o', 'saved.tar', 'lost:1');
  execFileSync('tar', ['-C', context, '-cf', join(dir, 'files.tar'), 'Kept', 'New']);
  tsbuild('rmi', 'lost:1');
  // All of it has reached the disk.
  while (readdirSync(join(prepared, 'flush')).some((name) => name.endsWith('.json'))) execFileSync('sleep', ['0.05']);
  tsbuild('images');
  let stores = 0;
  const platform = ['--platform', 'linux/amd64'];
  const operations: Readonly<Record<OperationName, Operation>> = {
    import: { args: ['import', '-q', join(dir, 'files.tar'), ...platform, '-t', 'moved:1'], moves: 'moved:1' },
    tag: { args: ['tag', 'kept:1', 'moved:1'], moves: 'moved:1' },
    rmi: { args: ['rmi', 'moved:1'], moves: 'moved:1' },
    gc: { args: ['gc', '--all'], moves: null },
    pull: { args: ['pull', '-q', `oci-layout:${join(dir, 'layout')}:2`, '-t', 'moved:1'], moves: 'moved:1' },
    push: { args: ['push', '-q', 'moved:1', `oci-layout:${join(dir, 'pushed')}:1`], moves: null },
    load: { args: ['load', '-q', '-i', join(dir, 'saved.tar')], moves: 'lost:1' },
    'build --sync': {
      args: ['-q', '--sync', '-t', 'moved:1', '-f', join(context, 'New'), context],
      moves: 'moved:1',
    },
    build: { args: ['-q', '-t', 'moved:1', '-f', join(context, 'New'), context], moves: 'moved:1' },
  };
  return {
    dir,
    operation: (name) => operations[name],
    store: () => {
      const copy = join(dir, `store${stores++}`);
      execFileSync('cp', ['-a', prepared, copy]);
      return copy;
    },
    remove: () => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }),
  };
}
