// The files of the image, as an ordinary directory or tar.
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  createReadStream,
  createWriteStream,
  type Dirent,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  utimesSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type ApplyMeta, type ApplyOp, assembleTar, displayPath, type RawPath, rawPath } from '#native';
import {
  bareMeta,
  type DraftEntry,
  encodeTar,
  findLayer,
  makePath,
  openView,
  type RootView,
  StoreError,
  sourceFailure,
  type ViewEntry,
} from '#store';
import type { Subject } from '../attest/index.js';
import { BuildError } from '../base/index.js';
import type { Result } from './make-image.js';
import type { Output } from './output.js';

type FilesOutput = Extract<Output, { kind: 'files' }>;
type TarOutput = Extract<Output, { kind: 'tar' }>;

/**
 * Puts the files into `dest`, beside what is there; a file of the same name is replaced. They belong to whoever runs this.
 *
 * They are first made in a directory of their own by the host, then moved in: no name of the image is ever looked up in
 * `dest`, so no link in it leads anywhere else, and what fails leaves nothing.
 *
 * @throws BuildError OUTPUT_UNWRITABLE
 */
export async function writeFiles(result: Result, output: FilesOutput): Promise<void> {
  const dest = resolve(output.dest, output.split ? platformDir(result) : '');
  const host = await result.io.openHost();
  const temp = join(dest, `.tsbuild-${randomUUID()}`);
  try {
    makePath(dest);
    mkdirSync(temp, { mode: 0o700 });
  } catch (error) {
    throw unwritable(output.dest, error);
  }
  try {
    await withView(result, async (view) => {
      const said = await statementFiles(view, result, output.prefix);
      const ops = applyOps(view, result, process.getuid?.() === 0, said);
      await host.applyTree(join(temp, 'root'), ops);
    });
    moveInto(Buffer.from(join(temp, 'root')), Buffer.from(dest));
  } catch (error) {
    throw unwritable(output.dest, error);
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
}

/** @throws BuildError OUTPUT_UNWRITABLE; StoreError */
export async function writeTar(result: Result, output: TarOutput): Promise<void> {
  const { dest } = output;
  const { io, lease } = result;
  const path = lease.path('files.tar');
  await withView(result, async (view) => {
    const prefix = output.split ? `${platformDir(result)}/` : '';
    const said = await statementFiles(view, result, output.prefix);
    const members = drafts(view, result, prefix, said);
    const { parts } = encodeTar(members);
    await assembleTar({ parts, output: path, heads: false, fileDigests: false }).catch(async (error: unknown) => {
      const contents = members.map(({ content }) => content);
      throw await sourceFailure(contents, error);
    });
  });
  try {
    const bytes = createReadStream(path, { highWaterMark: 1 << 20 });
    if (dest === null) return await pipeline(bytes, process.stdout, { signal: io.signal, end: false });
    if (isSpecial(dest)) return await pipeline(bytes, createWriteStream(dest), { signal: io.signal });
    const temp = `${dest}.${randomUUID()}`;
    try {
      await pipeline(bytes, createWriteStream(temp, { flags: 'wx' }), { signal: io.signal });
      renameSync(temp, dest);
    } finally {
      rmSync(temp, { force: true });
    }
  } catch (error) {
    throw unwritable(dest ?? 'standard output', error);
  } finally {
    rmSync(path, { force: true });
  }
}

/** A pipe or a device is written to, not replaced. */
function isSpecial(path: string): boolean {
  const facts = lstatSync(path, { throwIfNoEntry: false });
  return facts !== undefined && !facts.isFile() && !facts.isSymbolicLink() && !facts.isDirectory();
}

/** 'linux_arm_v7'. */
function platformDir(result: Result): string {
  const { os, architecture, variant } = result.config([]);
  return [os, architecture, ...(variant ? [variant] : [])].join('_');
}

async function withView(result: Result, work: (view: RootView) => Promise<void>): Promise<void> {
  const layers = (await result.stack(false)).map((diffId) => {
    const layer = findLayer(result.io.store, diffId);
    if (layer !== null) return layer;
    throw new StoreError('LAYER_MISSING', {
      message: `layer ${diffId} disappeared from the store`,
      hint: 'build again',
    });
  });
  const view = openView(layers);
  try {
    await work(view);
  } finally {
    view.close();
  }
}

/** Everything in the view, directories before what is in them, and of names of one inode which came first. */
function* walk(view: RootView): Generator<{ entry: ViewEntry; first: RawPath | undefined }> {
  const firstNames = new Map<string, RawPath>();
  const dirs: RawPath[] = [rawPath('')];
  for (const dir of dirs) {
    for (const entry of view.list(dir)) {
      const inode = `${entry.layer}:${entry.inode}`;
      const first = entry.type === 'dir' ? undefined : firstNames.get(inode);
      if (first === undefined) firstNames.set(inode, entry.path);
      if (entry.type === 'dir') dirs.push(entry.path);
      yield { entry, first };
    }
  }
}

/** An ordinary user can't make devices, or give files what only the superuser may read in them: that is left out, and said. */
function applyOps(view: RootView, result: Result, asRoot: boolean, said: Said): ApplyOp[] {
  const ops: ApplyOp[] = [{ op: 'dir', path: rawPath(''), meta: { ...bareMeta, mode: 0o755 } }];
  let devices = 0;
  for (const [path, bytes] of said) {
    const meta = { ...bareMeta, mode: 0o600, ...timeOf(now(), result) };
    ops.push({ op: 'file', path, meta, size: bytes.length, content: { bytes } });
  }
  for (const { entry, first } of walk(view)) {
    const { path, type, size, content, linkTarget: target } = entry;
    if (said.has(path)) continue;
    const meta = metaOf(entry, result, asRoot);
    if (type === 'char' || type === 'block') {
      const { devMajor: major, devMinor: minor } = entry;
      if (asRoot) ops.push({ op: 'device', path, meta, block: type === 'block', major, minor });
      else devices += 1;
    } else if (first !== undefined) ops.push({ op: 'link', path, target: first });
    else if (type === 'dir' || type === 'fifo') ops.push({ op: type, path, meta });
    else if (type === 'symlink') ops.push({ op: 'symlink', path, meta, target });
    else ops.push({ op: 'file', path, meta, size, content: content ?? { bytes: new Uint8Array(0) } });
  }
  if (devices > 0) {
    result.io.emit({
      type: 'warning',
      code: 'DEVICES_LEFT_OUT',
      message: `${devices} ${devices === 1 ? 'device of the image is' : 'devices of the image are'} left out`,
      at: undefined,
      hint: 'only root can make devices: take -o type=tar, which holds them',
    });
  }
  return ops;
}

/** Owned by whoever runs this: in the host's namespace that is root. */
function metaOf(entry: ViewEntry, result: Result, asRoot: boolean): ApplyMeta {
  const { mode, xattrs } = entry;
  const kept = asRoot ? xattrs : xattrs.filter(({ name }) => name.startsWith('user.'));
  return { mode, uid: 0, gid: 0, xattrs: kept, ...timeOf(entry, result) };
}

/** SOURCE_DATE_EPOCH is the time of every file of such an output. */
function timeOf({ mtimeSec, mtimeNsec }: Times, { epochSec }: Result): Times {
  return epochSec === null ? { mtimeSec, mtimeNsec } : { mtimeSec: epochSec, mtimeNsec: 0 };
}

function drafts(view: RootView, result: Result, prefix: string, said: Said): DraftEntry[] {
  const made: DraftEntry[] =
    prefix === '' ? [] : [{ ...bareMeta, path: rawPath(prefix.slice(0, -1)), type: 'dir', mode: 0o755 }];
  for (const [name, bytes] of said) {
    const path = `${prefix}${name}` as RawPath;
    const meta = { ...bareMeta, mode: 0o600, ...timeOf(now(), result), size: bytes.length };
    made.push({ ...meta, path, type: 'file', content: { bytes } });
  }
  for (const { entry, first } of walk(view)) {
    if (said.has(entry.path)) continue;
    const { layer: _l, inode: _i, content, ...meta } = entry;
    const path = `${prefix}${entry.path}` as RawPath;
    const times = timeOf(entry, result);
    if (first !== undefined) {
      const linkTarget = `${prefix}${first}` as RawPath;
      made.push({
        ...meta,
        ...times,
        path,
        type: 'hardlink',
        linkTarget,
        size: 0,
        xattrs: [],
        devMajor: 0,
        devMinor: 0,
      });
    } else made.push({ ...meta, ...times, path, ...(content !== null && { content }) });
  }
  return made;
}

type Times = Pick<ApplyMeta, 'mtimeSec' | 'mtimeNsec'>;

function now(): Times {
  return { mtimeSec: Math.floor(Date.now() / 1000), mtimeNsec: 0 };
}

/** By name: what is attested about the files, to lie beside them. A file of the image of that name gives way. */
type Said = ReadonlyMap<RawPath, Buffer>;

async function statementFiles(view: RootView, result: Result, prefix: string): Promise<Said> {
  if (result.statements === null) return new Map();
  const { inToto } = await import('../attest/index.js');
  const subject = await fileSubjects(view, result);
  const statements = await result.statements();
  return new Map(
    statements.map((statement) => [
      rawPath(`${prefix}${statement.file}`),
      Buffer.from(JSON.stringify(inToto(statement, subject), null, 2)),
    ]),
  );
}

/** Every file with its digest, as one pass over their contents gives them. */
async function fileSubjects(view: RootView, result: Result): Promise<Subject[]> {
  const entries = drafts(view, result, '', new Map());
  const { parts, fileParts } = encodeTar(entries);
  const { fileDigests } = await assembleTar({ parts, output: null, heads: false, fileDigests: true });
  const digests = new Map([...fileParts].map(([part, path]) => [path, fileDigests[part]!]));
  return entries.flatMap(({ type, path, size, linkTarget }) => {
    if (type !== 'file' && type !== 'hardlink') return [];
    const sha256 = type === 'file' && size === 0 ? emptySha256 : digests.get(type === 'file' ? path : linkTarget);
    return [{ name: displayPath(path), digest: { sha256: sha256 ?? emptySha256 } }];
  });
}

const emptySha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

const slash = Buffer.from('/');

/** Moves what is in `from` into `to`. Directories merge, everything else is replaced; links in `to` are never followed. */
function moveInto(from: Buffer, to: Buffer): void {
  for (const entry of readdirSync(from, { withFileTypes: true, encoding: 'buffer' }) as unknown as Dirent<Buffer>[]) {
    const source = Buffer.concat([from, slash, entry.name]);
    const target = Buffer.concat([to, slash, entry.name]);
    const there = lstatSync(target, { throwIfNoEntry: false });
    if (entry.isDirectory() && there?.isDirectory()) mergeDir(source, target);
    else {
      if (there !== undefined) rmSync(target, { recursive: true });
      moveEntry(source, target, entry.isDirectory());
    }
  }
}

function mergeDir(source: Buffer, target: Buffer): void {
  const facts = lstatSync(source);
  if ((facts.mode & 0o700) !== 0o700) chmodSync(source, 0o700);
  chmodSync(target, 0o700 | (facts.mode & 0o7777));
  moveInto(source, target);
  settle(target, facts);
}

/** Moving a directory changes its '..', which takes the right to write in it. */
function moveEntry(source: Buffer, target: Buffer, isDirectory: boolean): void {
  const facts = lstatSync(source);
  const closed = isDirectory && (facts.mode & 0o200) === 0;
  if (closed) chmodSync(source, 0o700);
  renameSync(source, target);
  if (closed) settle(target, facts);
}

function settle(dir: Buffer, { mode, atimeMs, mtimeMs }: Stats): void {
  chmodSync(dir, mode & 0o7777);
  utimesSync(dir, atimeMs / 1000, mtimeMs / 1000);
}

function unwritable(dest: string, error: unknown): unknown {
  const reason = reasons[(error as NodeJS.ErrnoException).code ?? ''];
  if (reason === undefined) return error;
  return new BuildError('OUTPUT_UNWRITABLE', {
    message: `${dest} can't be written: ${reason}`,
    hint: 'give dest= a place that you may write to, on a disk with room',
    cause: error,
  });
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such directory',
  ENOTDIR: 'a part of the path is no directory',
  EEXIST: 'it is no directory',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the filesystem is read-only',
  ENOSPC: 'no space left',
  EDQUOT: 'the disk quota is used up',
};
