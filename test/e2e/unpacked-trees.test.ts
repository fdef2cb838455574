// Our images unpacked by umoci, compared file by file with what a container of ours sees, and with where they came from.
import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { buildOddImage } from '../support/odd-image.js';
import { listScript, listTree, parseListing, type TreeListing, treeLines } from '../support/tree.js';
import { installed, output, type Person, people, type RunOptions } from '../support/tsbuild.js';

const everyone = people();
const root = everyone.find(({ name }) => name === 'root');
const user = everyone.find(({ name }) => name === 'user');
const missing = [
  ...(root ? [] : ['root']),
  ...['umoci', 'getfattr', 'setfattr'].filter((program) => !installed(program)),
].join(', ');

/** Without the root itself: its mode and time are those of the overlay's own directory, as with other engines. */
function linesOf(tree: TreeListing): string[] {
  return treeLines(new Map([...tree].filter(([path]) => path !== '')));
}

async function seenInContainer(person: Person, image: string, options?: RunOptions): Promise<TreeListing> {
  return parseListing(output(await person.run(['run', image, 'sh', '-c', listScript, 'list', '/'], options)));
}

/** What umoci makes of an image of ours, by way of an OCI layout. */
async function unpacked(person: Person, image: string, ...options: string[]): Promise<TreeListing> {
  const dir = person.dir('unpacked');
  const layout = join(dir, 'layout');
  output(await person.run(['push', image, `oci-layout://${layout}:it`]));
  execFileSync('umoci', ['unpack', ...options, '--image', `${layout}:it`, join(dir, 'bundle')], { stdio: 'pipe' });
  return listTree(join(dir, 'bundle/rootfs'));
}

describe.skipIf(missing !== '')(`an image with everything odd${missing && ` (skipped: no ${missing})`}`, () => {
  let rootfs: string;
  let container: TreeListing;
  beforeAll(async () => {
    rootfs = await buildOddImage(root!);
    container = await seenInContainer(root!, 'odd:1');
  });

  test('made from a tar is unpacked by umoci as the directory that the tar was made of', async () => {
    expect(linesOf(await unpacked(root!, 'odd:base'))).toEqual(linesOf(listTree(rootfs)));
  });

  test('looks to its containers as to the step that made it', async () => {
    const truth = parseListing(output(await root!.run(['run', 'odd:1', 'cat', '/truth'])));
    expect(truth.size).toBeGreaterThan(150);
    const others = (line: string): boolean => !line.startsWith('"truth" '); // it was still being written
    expect(linesOf(container).filter(others)).toEqual(linesOf(truth).filter(others));
  });

  test('is unpacked by umoci as our containers see it', async () => {
    expect(linesOf(await unpacked(root!, 'odd:1'))).toEqual(linesOf(container));
  });

  for (const form of ['index', 'tree']) {
    test(`looks the same when its layers are mounted as ${form}`, async () => {
      const seen = await seenInContainer(root!, 'odd:1', { env: { TSBUILD_FORM: form } });
      expect(linesOf(seen)).toEqual(linesOf(container));
    });
  }

  describe.skipIf(!user)('and an ordinary user', () => {
    /** No user namespace may make devices: the trees of ordinary users lack them. */
    const withoutDevices = (tree: TreeListing): TreeListing =>
      new Map([...tree].filter(([, { type }]) => type !== 'b' && type !== 'c'));

    beforeAll(async () => {
      const archive = join(root!.home, 'odd-image.tar');
      output(await root!.run(['save', '-o', archive, 'odd:1']));
      chmodSync(archive, 0o644);
      chmodSync(root!.home, 0o755);
      output(await user!.run(['load', '-i', archive]));
    });

    test('looks the same to the user, but for devices', async () => {
      expect(linesOf(await seenInContainer(user!, 'odd:1'))).toEqual(linesOf(withoutDevices(container)));
    });

    test('is unpacked by umoci from what the user hands on', async () => {
      expect(linesOf(await unpacked(user!, 'odd:1'))).toEqual(linesOf(container));
    });
  });
});
