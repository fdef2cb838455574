import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { assembleTar, type RawPath, rawPath } from '#native';
import { type DraftEntry, encodeTar, type RootView } from '#store';
import { type CopyPlan, openContentDigests, planCopy, viewSource } from '../../src/executor/index.js';
import { copyVertex, made, makeTree, planFromContext, removeTemps, removeTree } from './copy-support.js';
import { memoryView } from './memory-view.js';

let root: string;

beforeEach(() => {
  root = makeTree({ 'src/a': 'one', 'src/b': 'two', 'src/c/d': 'three', 'src/link': { link: 'a' }, other: 'one' });
});

afterEach(() => {
  removeTemps();
  removeTree(root);
});

const key = async (line: string, view?: RootView): Promise<string> =>
  (await planFromContext(root, line, view ? { view } : {})).contentKey();

/** What a commit does: content digests come from reading the files for the layer. */
async function commit(plan: CopyPlan): Promise<Map<RawPath, string>> {
  const { parts, fileParts } = encodeTar(await plan.drafts());
  const { fileDigests } = await assembleTar({ parts, output: null, heads: false, fileDigests: true });
  return new Map([...fileParts].map(([part, path]) => [path, fileDigests[part]!]));
}

describe('the key of a COPY', () => {
  const same: readonly [string, () => void][] = [
    ['a touched file', () => utimesSync(join(root, 'src/a'), 5, 5)],
    ['a file written anew with the same content', () => writeFileSync(join(root, 'src/a'), 'one')],
    ['a change of a file that is not copied', () => writeFileSync(join(root, 'other'), 'changed')],
    ['a mode of the directory that only its contents are copied from', () => chmodSync(join(root, 'src'), 0o700)],
  ];
  test.each(same)('does not change with %s', async (_what, change) => {
    const before = await key('COPY src /app');
    change();
    expect(await key('COPY src /app')).toBe(before);
  });

  const different: readonly [string, () => void][] = [
    ['content', () => writeFileSync(join(root, 'src/a'), 'eno')],
    ['a mode', () => chmodSync(join(root, 'src/a'), 0o600)],
    ['the mode of a directory below', () => chmodSync(join(root, 'src/c'), 0o700)],
    ['a name', () => renameSync(join(root, 'src/a'), join(root, 'src/z'))],
    ['a new file', () => writeFileSync(join(root, 'src/new'), '')],
    ['a missing file', () => rmSync(join(root, 'src/b'))],
    [
      'a file in place of a link',
      () => {
        rmSync(join(root, 'src/link'));
        writeFileSync(join(root, 'src/link'), 'a');
      },
    ],
  ];
  test.each(different)('changes with %s', async (_what, change) => {
    const before = await key('COPY src /app');
    change();
    expect(await key('COPY src /app')).not.toBe(before);
  });

  test('does not change with a mode that --chmod replaces', async () => {
    const before = await key('COPY --chmod=644 src /app');
    chmodSync(join(root, 'src/a'), 0o600);
    expect(await key('COPY --chmod=644 src /app')).toBe(before);
  });

  test('is of what lands, not of how it is said', async () => {
    expect(await key('COPY src/a /app/')).toBe(await key('COPY /src/../src/a /app/a'));
    expect(await key('COPY other /app/a')).toBe(await key('COPY src/a /app/a'));
  });

  test('changes with the destination, the owner and what is above it', async () => {
    const keys = await Promise.all([
      key('COPY src /app'),
      key('COPY src /app2'),
      key('COPY --chown=1 src /app'),
      key('COPY src /app', memoryView({ app: { mode: 0o700 } })),
    ]);
    expect(new Set(keys).size).toBe(4);
  });

  test('is the same when a commit read the files', async () => {
    const plan = await planFromContext(root, 'COPY src /app');
    expect(await plan.contentKeyFrom(await commit(plan))).toBe(await key('COPY src /app'));
  });

  test('tells of the files that it was made of', async () => {
    const plan = await planFromContext(root, 'COPY --chown=5:6 src /app');
    await plan.contentKey();
    const told = [...plan.inputs()].map(({ path, type, mode, uid, gid, digest }) => ({
      file: `${path} ${type} ${mode.toString(8)} ${uid}:${gid}`,
      digest,
    }));
    expect(told.map(({ file }) => file)).toEqual([
      'app dir 755 5:6',
      'app/a file 644 5:6',
      'app/b file 644 5:6',
      'app/c dir 755 5:6',
      'app/c/d file 644 5:6',
      'app/link symlink 777 5:6',
    ]);
    expect(new Set(told.map(({ digest }) => digest)).size).toBe(5); // directories have none
  });
});

describe('content of other stages', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'copy-view-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  /** A stage whose files lie in a tar, as those of layers do. */
  async function stage(): Promise<RootView> {
    const draft = (path: string, text: string): DraftEntry => ({
      ...{ type: 'file', mode: 0o644, uid: 0, gid: 0, mtimeSec: 0, mtimeNsec: 0, devMajor: 0, devMinor: 0, xattrs: [] },
      path: rawPath(path),
      size: text.length,
      linkTarget: rawPath(''),
      content: { bytes: Buffer.from(text) },
    });
    const { parts, entries } = encodeTar([draft('a', 'one'), draft('b', 'two')]);
    await assembleTar({ parts, output: join(dir, 'tar'), heads: false, fileDigests: false });
    const below = memoryView({ a: { text: 'one' }, b: { text: 'two' } });
    const place = (entry: ReturnType<RootView['lookup']>) => {
      const offset = entries.find((member) => member.path === entry?.path)?.dataOffset;
      return entry && offset !== undefined ? { ...entry, content: { root: dir, path: rawPath('tar'), offset } } : entry;
    };
    return {
      ...below,
      lookup: (path, follow) => place(below.lookup(path, follow)),
      list: (path) => below.list(path).map((entry) => place(entry)!),
    };
  }

  const plan = async (view: RootView, cacheDir: string | null): Promise<{ planned: CopyPlan; save: () => void }> => {
    const known = openContentDigests(cacheDir);
    const planned = await planCopy(copyVertex('COPY / /app/'), {
      source: viewSource(view, 'stage build', known),
      remote: ({ kind }) => Promise.reject(new Error(`a ${kind} from elsewhere`)),
      view: memoryView({}),
      made,
      tempPath: () => '',
    });
    return { planned, save: known.save };
  };

  test('the key is of the content, as from a context', async () => {
    const context = makeTree({ a: 'one', b: 'two' });
    const fromContext = await (await planFromContext(context, 'COPY / /app/')).contentKey();
    expect(await (await plan(await stage(), null)).planned.contentKey()).toBe(fromContext);
    removeTree(context);
  });

  test('what was read once is not read by the next build', async () => {
    const view = await stage();
    const first = await plan(view, join(dir, 'cache'));
    expect(first.planned.pending).toEqual({ files: 2, bytes: 6 });
    const key = await first.planned.contentKey();
    first.save();
    rmSync(join(dir, 'tar'));
    const second = await plan(view, join(dir, 'cache'));
    expect(second.planned.pending).toEqual({ files: 0, bytes: 0 });
    expect(await second.planned.contentKey()).toBe(key);
  });

  test('a damaged cache is an empty one', async () => {
    const view = await stage();
    const first = await plan(view, join(dir, 'cache'));
    await first.planned.contentKey();
    first.save();
    for (const name of readdirSync(join(dir, 'cache'))) {
      const bytes = readFileSync(join(dir, 'cache', name));
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(join(dir, 'cache', name), bytes);
    }
    expect((await plan(view, join(dir, 'cache'))).planned.pending.files).toBe(2);
  });
});
