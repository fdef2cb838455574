// A full disk at many fill levels: one clear error, nothing harmed, and gc works even then.
import assert from 'node:assert';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { amount } from '../faults/random.js';
import { isRoot, output, type Person, people } from '../support/tsbuild.js';
import { assertStoreUnharmed, type Seen, seenStore } from '../support/unharmed.js';

const megabyte = 1024 * 1024;
/** Of what the commands below want to add. */
const wantedBytes = 8 * megabyte;

interface Disk {
  readonly name: string;
  /** Mounts it at a directory. */
  mount(dir: string): void;
  /** Bytes left free, one after the other. */
  readonly levels: readonly number[];
}

/** By night, every stage of writing runs out of room somewhere among these. */
const manyLevels = [0, 4096, 16_384, 65_536, ...Array.from({ length: 18 }, (_, i) => (i + 1) * 400_000)];

const tmpfs: Disk = {
  name: 'tmpfs',
  mount: (dir) => execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'none', dir]),
  levels: amount([6 * megabyte, megabyte, 100_000, 0], manyLevels),
};
/** Here layers are mounted by their index, which no tmpfs can hold. */
const ext4: Disk = {
  name: 'ext4',
  mount: (dir) => {
    const image = `${dir}.img`;
    writeFileSync(image, '');
    truncateSync(image, 48 * megabyte);
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', image]);
    execFileSync('mount', ['-o', 'loop', image, dir]);
    rmSync(image);
    rmSync(join(dir, 'lost+found'), { recursive: true });
  },
  levels: amount([megabyte, 0], manyLevels),
};

for (const person of isRoot ? people() : []) {
  const disks = person.name === 'root' ? [tmpfs, ext4] : [tmpfs];
  for (const disk of disks) describe(`on a small ${disk.name}, as ${person.name}`, () => fullDisk(person, disk));
}
test.skipIf(!isRoot)('small disks (skips without root, who mounts them)', () => {});

function fullDisk(root: Person, disk: Disk): void {
  const mount = mkdtempSync(join(tmpdir(), 'tsbuild-full-'));
  const store = join(mount, 'store');
  const person: Person = {
    ...root,
    store,
    run: (args, more) => root.run(args, { ...more, env: { TSBUILD_STORE: store } }),
  };
  const files = root.dir('files');
  const buildfile = (file: string, text: string): void => writeFileSync(join(files, file), text);
  let before: Seen;

  beforeAll(async () => {
    disk.mount(mount);
    root.own(mount);
    writeFileSync(join(files, 'big'), randomBytes(wantedBytes));
    execFileSync('tar', ['-C', files, '-cf', join(files, 'big.tar'), 'big']);
    buildfile('Kept', 'FROM host://sh,coreutils\nRUN echo kept > /kept\nCMD ["cat", "/kept"]\n');
    buildfile('Copy', 'FROM scratch\nCOPY big /\n');
    buildfile('Step', `FROM kept:1\nRUN head -c ${wantedBytes} /dev/urandom > /big\n`);
    buildfile('Small', 'FROM kept:1\nRUN echo small > /small\n');
    root.own(files);
    output(await root.run(['-q', '-f', 'Copy', '-t', 'big:1', '.'], { cwd: files }));
    output(await root.run(['save', '-o', 'saved.tar', 'big:1'], { cwd: files }));
    output(await root.run(['push', '-q', 'big:1', 'oci-layout:layout:1'], { cwd: files }));
    output(await person.run(['-q', '-f', 'Kept', '-t', 'kept:1', '.'], { cwd: files }));
    before = await seenStore(person);
  });
  afterAll(() => {
    spawnSync('umount', ['-l', mount]);
    rmSync(mount, { recursive: true, force: true });
  });

  const free = (): number => {
    const { bavail, bsize } = statfsSync(mount);
    return bavail * bsize;
  };
  /** Fills the disk but for so many bytes. */
  const fill = (leaveBytes: number): void => {
    rmSync(join(mount, 'filler'), { force: true });
    const count = Math.floor((free() - leaveBytes) / 4096);
    spawnSync('dd', ['if=/dev/zero', `of=${join(mount, 'filler')}`, 'bs=4k', `count=${count}`]);
  };
  const help = "help: free some with 'tsbuild gc', or put the store on a larger filesystem (--store)";

  const commands: [what: string, args: string[], place: string][] = [
    ['COPY', ['-f', 'Copy', '-t', 'kept:1', '.'], ' --> Copy:2:1\n  |\n2 | COPY big /\n  | ^^^^^^^^^^\n'],
    ['import', ['import', '-q', 'big.tar', '--platform', 'linux/amd64', '-t', 'kept:1'], ''],
    ['load', ['load', '-q', '-i', 'saved.tar'], ''],
    ['pull', ['pull', '-q', 'oci-layout:layout:1', '-t', 'kept:1'], ''],
  ];
  for (const leaveBytes of disk.levels) {
    for (const [what, args, place] of commands) {
      test(`${what} with ${leaveBytes} bytes free`, async () => {
        fill(leaveBytes);
        const { code, stdout, stderr } = await person.run(args, { cwd: files });
        assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
        const message = stderr.slice(Math.max(0, stderr.search(/^error\[/m)));
        const [first = '', ...rest] = message.split('\n');
        assert.match(first, /^error\[STORE_FULL\]: .*store \/\S+: no space left \(\d\.\d MB of \d+\.\d MB are free\)$/);
        assert([`${help}\n`, `${place}${help}\n`].includes(rest.join('\n')), message);
        await assertStoreUnharmed(person, before);
      });
    }

    test(`a step with ${leaveBytes} bytes free`, async () => {
      fill(leaveBytes);
      const { code, stderr } = await person.run(['-f', 'Step', '-t', 'kept:1', '.'], { cwd: files });
      assert.equal(code, 1);
      assert.match(stderr, /^error\[(RUN_FAILED|STORE_FULL|LAUNCH_SCRATCH)\]: /m);
      assert.match(stderr, /\nhelp: [^\n]*'tsbuild gc'[^\n]*\n$/);
      await assertStoreUnharmed(person, before);
    });
  }

  test('a step whose files fit, but not the layer made of them', async () => {
    fill(wantedBytes + 2 * megabyte);
    const { code, stderr } = await person.run(['-f', 'Step', '.'], { cwd: files });
    assert.equal(code, 1);
    assert.match(stderr, /^error\[STORE_FULL\]: store \S+: no space left .*\n --> Step:2:1\n/m);
    await assertStoreUnharmed(person, before);
  });

  test.skipIf(disk !== tmpfs)('without inodes', async () => {
    fill(20 * megabyte);
    const { files: total, ffree } = statfsSync(mount);
    const limit = (inodes: number): unknown => execFileSync('mount', ['-o', `remount,nr_inodes=${inodes}`, mount]);
    for (const spare of [4, 2, 0]) {
      limit(total - ffree + spare);
      const { code, stderr } = await person.run(['-f', 'Copy', '-t', 'kept:1', '.'], { cwd: files });
      assert.equal(code, 1);
      assert.match(stderr, /^error\[STORE_FULL\]: store \S+: no space left( \(no inodes are free\))?$/m);
    }
    limit(total);
    await assertStoreUnharmed(person, before);
  });

  test('with no byte free images can be listed, gc makes room, and what fits then is built', async () => {
    fill(20 * megabyte);
    output(await person.run(['-q', '-f', 'Copy', '-t', 'big:1', '.'], { cwd: files }));
    output(await person.run(['rmi', 'big:1']));
    fill(0);
    assert.match(output(await person.run(['images'])), /^kept +1 /m);
    assert.match(output(await person.run(['gc', '--all'])), /^removed .*: (8|9|[12]\d)(\.\d+)?MB freed$/m);
    assert(free() > wantedBytes, `${free()}`);
    assert.equal(output(await person.run(['run', 'kept:1'])), 'kept\n');
    output(await person.run(['-q', '-f', 'Small', '-t', 'small:1', '.'], { cwd: files }));
    output(await person.run(['rmi', 'small:1']));
    rmSync(join(mount, 'filler'));
    output(await person.run(['-q', '-f', 'Step', '-t', 'small:1', '.'], { cwd: files }));
    output(await person.run(['rmi', 'small:1']));
    await assertStoreUnharmed(person, before);
  });
}
