// Objects that the disk does not give back, whoever asks for them: the error names the object, who needs it, and what heals it;
// images that don't need it stay usable.
import assert from 'node:assert';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Fault, type FaultyRun, runWithFault, startWithFault } from './fail-call.js';
import { type Lab, makeLab } from './operations.js';

const objectNames = ['tar', 'index', 'config', 'manifest', 'blob'] as const;
type ObjectName = (typeof objectNames)[number];

interface StoredObject {
  readonly digest: string;
  /** Of its file, as far as it tells it from all others. */
  readonly path: string;
}

let lab: Lab;
let store: string;
/** Of moved:1 alone; layer and blob are those of its topmost layer. */
let objects: Readonly<Record<ObjectName, StoredObject>>;
beforeAll(async () => {
  lab = makeLab();
  store = lab.store();
  writeFileSync(
    join(lab.dir, 'context/FromMoved'),
    'FROM moved:1\nCOPY --from=moved:1 /moved /again\nRUN cat /again\n',
  );
  const layout = join(lab.dir, 'compressed');
  const { code, stderr } = await tsbuild(['push', '-q', '--compression', 'gzip', 'moved:1', `oci-layout:${layout}:1`]);
  assert.equal(code, 0, stderr);
  const { stdout } = await tsbuild(['images', '--format', 'json']);
  const images = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { digest: string; names: string[] });
  const manifest = images.find(({ names }) => names.includes('moved:1'))!.digest;
  const config = documentAt(store, manifest).config.digest;
  const layer = documentAt(store, config).rootfs.diff_ids.at(-1)!;
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
  const blob = documentAt(layout, index.manifests[0]!.digest).layers.at(-1)!.digest;
  objects = {
    tar: { digest: layer, path: `layers/sha256/${layer.slice(7)}/tar` },
    index: { digest: layer, path: `layers/sha256/${layer.slice(7)}/index.erofs` },
    config: { digest: config, path: config.slice(7) },
    manifest: { digest: manifest, path: manifest.slice(7) },
    blob: { digest: blob, path: blob.slice(7) },
  };
});
afterAll(() => lab.remove());

interface ImageDocument {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string }[];
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

function documentAt(dir: string, digest: string): ImageDocument {
  return JSON.parse(readFileSync(join(dir, 'blobs/sha256', digest.slice(7)), 'utf8'));
}

function tsbuild(args: readonly string[], fault?: Fault): ReturnType<typeof runWithFault> {
  return runWithFault(store, args, fault);
}

const unreadable = (name: ObjectName): Fault => ({ kinds: ['read'], at: 0, with: 'EIO', match: objects[name].path });

const commands: readonly {
  readonly name: string;
  readonly args: (image: string, out: string) => readonly string[];
  readonly reads: readonly ObjectName[];
}[] = [
  {
    name: 'push',
    args: (image, out) => ['push', '-q', image, `oci-layout:${out}:1`],
    reads: ['tar', 'config', 'manifest'],
  },
  {
    name: 'push --compression',
    args: (image, out) => ['push', '-q', '--compression', 'gzip', image, `oci-layout:${out}:1`],
    reads: ['blob', 'config', 'manifest'],
  },
  { name: 'save', args: (image, out) => ['save', '-o', out, image], reads: ['tar', 'config', 'manifest'] },
  { name: 'copy', args: (image, out) => ['copy', '-q', image, `dir:${out}`], reads: ['tar', 'config', 'manifest'] },
  { name: 'run', args: (image) => ['run', image, '/bin/sh', '-c', 'true'], reads: ['index', 'config', 'manifest'] },
  {
    name: 'build',
    args: (image) => {
      const buildfile = join(lab.dir, 'context', image === 'moved:1' ? 'FromMoved' : 'Lost');
      return ['-q', '--no-cache', '-f', buildfile, join(lab.dir, 'context')];
    },
    reads: ['tar', 'index', 'config', 'manifest'],
  },
];

for (const { name, args, reads } of commands) {
  test(`${name} names what it can't read, and works with other images`, async () => {
    const out = join(lab.dir, 'out');
    for (const object of reads) {
      assertNamed(object, await tsbuild(args('moved:1', out), unreadable(object)));
      rmSync(out, { recursive: true, force: true });
      const other = await tsbuild(args('kept:1', out), unreadable(object));
      assert.equal(other.code, 0, `${object}, kept:1: ${other.stderr}`);
      rmSync(out, { recursive: true, force: true });
    }
    const checked = await tsbuild(['fsck', '--read-data']);
    assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  });
}

function assertNamed(object: ObjectName, { code, stderr, hit }: FaultyRun): void {
  const said = `${object}: ${stderr}`;
  assert.notEqual(hit.length, 0, said);
  assert.equal(code, 1, said);
  const { digest } = objects[object];
  assert.match(stderr, new RegExp(`^error\\[(BLOB|LAYER)_DAMAGED\\]: .*${digest} can't be read`, 'm'), said);
  assert.match(stderr, /\(needed by docker\.io\/library\/moved:1\)$/m, said);
  assert.match(stderr, /^help: 'tsbuild fsck --read-data --repair'/m, said);
}

interface Server {
  /** '127.0.0.1:PORT' */
  readonly address: string;
  said(): string;
}

async function serve(dir: string, fault?: Fault): Promise<Server> {
  const server = startWithFault(dir, ['serve', '--listen', '127.0.0.1:0'], fault);
  let said = '';
  for (const stream of [server.stdout, server.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const ended = new Promise((resolve) => server.once('close', resolve));
  onTestFinished(async () => {
    server.kill('SIGKILL');
    await ended;
  });
  const address = (): string | undefined => /^serving at http:\/\/(\S+)$/m.exec(said)?.[1];
  await expect.poll(address, { timeout: 30_000 }).toBeDefined();
  return { address: address()!, said: () => said };
}

test("push to a registry names what it can't read", async () => {
  const { address } = await serve(lab.store());
  for (const object of ['blob', 'config', 'manifest'] as const)
    assertNamed(object, await tsbuild(['push', '-q', 'moved:1', `${address}/${object}:1`], unreadable(object)));
});

test('fsck finds each of them, and changes nothing', async () => {
  for (const object of objectNames) {
    const found = await tsbuild(['fsck', '--read-data'], unreadable(object));
    assert.equal(found.code, 1, `${object}: ${found.stdout}${found.stderr}`);
    assert.match(found.stdout + found.stderr, new RegExp(objects[object].digest.slice(7, 19)), object);
    assert.doesNotMatch(found.stderr, /error\[SYSTEM\]/, object);
    const checked = await tsbuild(['fsck', '--read-data']);
    assert.equal(checked.code, 0, `${object}: ${checked.stdout}${checked.stderr}`);
  }
});

/** What a client gets, 'cut' where the connection ends before the end. */
async function get(url: string): Promise<number | 'cut'> {
  try {
    const response = await fetch(url, { headers: { accept: 'application/vnd.oci.image.manifest.v1+json' } });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return 'cut';
  }
}

for (const object of ['tar', 'config', 'manifest'] as const) {
  test(`serve tells of a ${object} that it can't read, gives it to nobody, and serves other images`, async () => {
    const { address, said } = await serve(store, unreadable(object));
    const { digest } = objects[object];
    const path = object === 'manifest' ? 'manifests/1' : `blobs/${digest}`;
    for (let tries = 0; tries < 2; tries++)
      assert.match(String(await get(`http://${address}/v2/moved/${path}`)), /^(503|cut)$/, said());
    await expect.poll(said).toMatch(new RegExp(`${digest} can't be read .*needed by docker.io/library/moved:1`));
    assert.match(said(), /'tsbuild fsck --read-data --repair'/);
    assert.equal(await get(`http://${address}/v2/kept/manifests/1`), 200, said());
  });
}
