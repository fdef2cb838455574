// Whatever an archive holds and whatever is there already: what ADD plans is what unpacking member by member leaves.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { pack } from 'tar-stream';
import { afterAll, expect, test } from 'vitest';
import type { DraftEntry } from '#store';
import type { ModelTree, Node } from './copy-model.js';
import { makeTree, planFromContext, removeTemps, removeTree } from './copy-support.js';
import { type Files, memoryView } from './memory-view.js';

interface Member {
  readonly name: string;
  readonly type: 'directory' | 'file' | 'symlink' | 'link';
  readonly mode: number;
  /** A file's text, where a link leads to. */
  readonly text: string;
}

const word = fc.constantFrom('a', 'b', 'c');
const path = fc.array(word, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
const mode = fc.constantFrom(0o700, 0o644, 0o4755);
const toSomething = fc.oneof(
  path.map((to) => `/${to}`),
  word,
);
const member: fc.Arbitrary<Member> = fc.oneof(
  fc.record({ name: path, type: fc.constant('directory' as const), mode, text: fc.constant('') }),
  fc.record({ name: path, type: fc.constant('file' as const), mode, text: word }),
  fc.record({ name: path, type: fc.constant('symlink' as const), mode: fc.constant(0o777), text: toSomething }),
  fc.record({ name: path, type: fc.constant('link' as const), mode: fc.constant(0), text: path }),
);
const node = fc.oneof(
  fc.record({ type: fc.constantFrom('dir' as const, 'file' as const), mode, text: fc.constant('') }),
  fc.record({ type: fc.constant('symlink' as const), mode: fc.constant(0o777), text: toSomething }),
);
const tree: fc.Arbitrary<ModelTree> = fc.array(fc.tuple(path, node), { maxLength: 6 }).map((files) => {
  const made: ModelTree = new Map();
  for (const [at, what] of files) {
    const above = at
      .split('/')
      .slice(0, -1)
      .map((_, i, names) => names.slice(0, i + 1).join('/'));
    if (made.has(at) || above.some((dir) => made.has(dir) && made.get(dir)?.type !== 'dir')) continue;
    for (const dir of above) if (!made.has(dir)) made.set(dir, { type: 'dir', mode: 0o755, owner: '0:0', text: '' });
    made.set(at, { ...what, owner: '5:6' });
  }
  return made;
});

const root = makeTree({});
afterAll(() => {
  removeTree(root);
  removeTemps();
});

test('ADD of an archive leaves what unpacking it leaves', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(member, { minLength: 1, maxLength: 7 }), tree, async (members, below) => {
      const wanted = new Map(below);
      try {
        unpack(members, wanted);
      } catch {
        return; // what is refused, and how, the cases show
      }
      const archive = await writeArchive(members);
      expect(await planned(below, archive)).toEqual(shown(wanted));
    }),
    { numRuns: Number(process.env.COPY_RUNS ?? 500) },
  );
});

/** Into `to`, at its root. */
function unpack(members: readonly Member[], to: ModelTree): void {
  for (const { name, type, mode: bits, text } of members) {
    const at = resolve(to, name);
    if (at === '') continue;
    const above = at
      .split('/')
      .slice(0, -1)
      .map((_, i, names) => names.slice(0, i + 1).join('/'));
    for (const dir of above) {
      if (!to.has(dir)) to.set(dir, { type: 'dir', mode: 0o755, owner: '0:0', text: '' });
      if (to.get(dir)?.type !== 'dir') throw new Error('not a directory');
    }
    if (type !== 'directory' || to.get(at)?.type !== 'dir') {
      for (const other of [...to.keys()]) if (other === at || other.startsWith(`${at}/`)) to.delete(other);
    }
    if (type === 'link') {
      const linked = to.get(resolve(to, text));
      if (!linked || linked.type === 'dir') throw new Error('nothing to link to');
      to.set(at, linked);
    } else {
      to.set(at, { type: type === 'directory' ? 'dir' : type, mode: bits, owner: '7:8', text });
    }
  }
}

/** Symlinks on the way are followed, one at its end is not. */
function resolve(tree: ModelTree, name: string, depth = 0): string {
  if (depth > 60) throw new Error('a circle');
  const names = name.split('/').filter((one) => one !== '');
  let done = '';
  for (const [i, one] of names.entries()) {
    const here = done === '' ? one : `${done}/${one}`;
    const there = tree.get(here);
    if (there?.type === 'symlink' && i < names.length - 1) {
      const start = there.text.startsWith('/') ? '' : `${done}/`;
      return resolve(tree, [start + there.text, ...names.slice(i + 1)].join('/'), depth + 1);
    }
    done = here;
  }
  return done;
}

async function writeArchive(members: readonly Member[]): Promise<Buffer> {
  const archive = pack();
  for (const { name, type, mode: bits, text } of members) {
    const header = { name, type, mode: bits, uid: 7, gid: 8, mtime: new Date(0) };
    if (type === 'file') archive.entry(header, text);
    else archive.entry(type === 'directory' ? header : { ...header, linkname: text });
  }
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  writeFileSync(join(root, 'a.tar'), bytes);
  return bytes;
}

/** The tree after the plan's layer, by the rules for layers. */
async function planned(below: ModelTree, archive: Buffer): Promise<Record<string, string>> {
  const drafts = await (await planFromContext(root, 'ADD a.tar /', { view: view(below) })).drafts();
  const after = new Map(below);
  for (const draft of drafts.filter(({ path: at }) => at.endsWith('.wh..wh..opq')))
    removeBelow(after, draft.path.slice(0, -13));
  for (const { path: at, type, mode: bits, uid, gid, linkTarget, content } of drafts) {
    if (at.endsWith('.wh..wh..opq')) continue;
    if (type !== 'dir') removeBelow(after, at);
    if (type === 'hardlink') after.set(at, after.get(linkTarget)!);
    else
      after.set(at, {
        type,
        mode: bits,
        owner: `${uid}:${gid}`,
        text: type === 'symlink' ? linkTarget : textOf(content, archive),
      } as Node);
  }
  return shown(after);
}

function removeBelow(tree: ModelTree, dir: string): void {
  for (const at of [...tree.keys()]) if (at.startsWith(`${dir}/`)) tree.delete(at);
}

/** Every file's text is one letter, or none. */
function textOf(content: DraftEntry['content'], archive: Buffer): string {
  if (content === undefined) return '';
  return 'bytes' in content ? String(content.bytes) : archive.toString('latin1', content.offset, content.offset + 1);
}

function view(files: ModelTree): ReturnType<typeof memoryView> {
  const entries = [...files].map(([at, { type, mode: bits, text }]): [string, Files[string]] => {
    const what = type === 'file' ? { text } : type === 'symlink' ? { linkTarget: text as never } : {};
    const made = bits === 0o755 && type === 'dir' ? {} : { uid: 5, gid: 6 };
    return [at, { type, mode: bits, ...made, ...what }];
  });
  return memoryView(Object.fromEntries(entries));
}

function shown(files: ModelTree): Record<string, string> {
  return Object.fromEntries(
    [...files].map(([at, file]) => [at, `${file.type} ${file.mode.toString(8)} ${file.owner} ${file.text}`]),
  );
}
