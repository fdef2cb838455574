// Ways to run the batches, and what the tests need to make files that Node can't.
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { afterAll } from 'vitest';
import {
  type ApplyOp,
  type AssembleRequest,
  type AssembleResult,
  assembleTar,
  type FileStat,
  type RawPath,
  removeTrees,
  type WalkOptions,
  walkTree,
} from '#native';
import {
  decodeApply,
  decodeAssemble,
  decodeRemove,
  decodeWalk,
  encodeApply,
  encodeAssemble,
  encodeRemove,
  encodeWalk,
} from '../../native/batch-codec.js';
import { nativeFile } from '../../native/locate.js';
import { assemblyOf, type Part } from '../support/assembly.js';

export const isRoot = process.getuid?.() === 0;

/** With the parts as a list. */
export interface Request {
  readonly parts: readonly Part[];
  readonly output: string | null;
  readonly heads: boolean;
  readonly fileDigests: boolean;
}

export interface Way {
  readonly name: string;
  walk(dir: string, options: WalkOptions): Promise<FileStat[]>;
  assemble(request: Request): Promise<AssembleResult>;
  remove(dirs: readonly string[]): Promise<void>;
}

/** The same batches by koffi, and by the launcher's pipes. */
export const ways: readonly Way[] = [
  { name: 'in this process', walk: walkTree, assemble: (request) => assembleTar(packed(request)), remove: removeTrees },
  {
    name: 'through the launcher',
    walk: async (dir, options) => decodeWalk(runBatch('walk', encodeWalk(dir, options)), dir),
    assemble: async (request) => decodeAssemble(runBatch('assemble', encodeAssemble(packed(request)))),
    remove: async (dirs) => decodeRemove(runBatch('remove', encodeRemove(dirs))),
  },
];

function packed({ parts, ...rest }: Request): AssembleRequest {
  return { ...rest, parts: assemblyOf(parts) };
}

/** Devices that were left out. */
export function applyTree(dir: string, ops: readonly ApplyOp[]): RawPath[] {
  return decodeApply(runBatch('apply', encodeApply(dir, ops)), dir);
}

/** TSBUILD_TEST_BATCH names another program to run, such as one built with sanitizers. */
export function runBatch(verb: string, request: Buffer): Buffer {
  const program = process.env.TSBUILD_TEST_BATCH ?? nativeFile('tsbuild-launcher');
  const run = spawnSync(program, [verb], { input: request, maxBuffer: 1 << 30 });
  if (run.status !== 0 || run.stderr.length > 0) {
    throw new Error(`${program} ${verb}: ${run.error ?? run.signal ?? run.status}\n${run.stderr}`);
  }
  return run.stdout;
}

const made: string[] = [];

/** A fresh directory that goes away after the tests of the file. */
export function scratchDir(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), `tsbuild-${name}-`));
  made.push(dir);
  return dir;
}

afterAll(async () => {
  await removeTrees(made.splice(0));
});

const libc = koffi.load('libc.so.6');
const lsetxattr = libc.func(
  'int lsetxattr(const char *path, const char *name, const uint8_t *value, size_t size, int flags)',
);

/** lsetxattr(2), which Node does not offer; independent of the code under test. */
export function setXattr(path: string, name: string, value: Buffer): void {
  if (lsetxattr(path, name, value, value.length, 0) !== 0) {
    throw new Error(`lsetxattr ${path} ${name}: errno ${koffi.errno()}`);
  }
}

/** A capability as setcap writes it: cap_net_bind_service, effective and permitted. */
export const netBindCapability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
