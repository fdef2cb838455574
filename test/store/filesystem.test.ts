import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkStore, describeStore, openStore } from '#store';
import { filesystemOf, refuseNetwork } from '../../store/content/filesystem.js';
import { tempDir, whenDone } from './content-samples.js';

const server = ['/usr/lib/openssh/sftp-server', '/usr/libexec/openssh/sftp-server'].find((path) => existsSync(path));
const canMount = server !== undefined && existsSync('/dev/fuse') && spawnSync('sshfs', ['--version']).status === 0;

test.skipIf(!canMount)('a store on a real network filesystem is refused in words (skips without sshfs)', async () => {
  const [there, here, bin] = [tempDir(), tempDir(), tempDir()];
  writeFileSync(join(bin, 'ssh'), `#!/bin/sh\nexec ${server}\n`, { mode: 0o755 });
  execFileSync('sshfs', ['-o', `ssh_command=${join(bin, 'ssh')}`, `localhost:${there}`, here]);
  whenDone(() => void execFileSync('fusermount3', ['-u', here]));

  const store = join(here, 'deep', 'store');
  await expect(openStore(store)).rejects.toMatchObject({
    code: 'STORE_ON_NETWORK',
    message: expect.stringContaining('lies on fuse.sshfs, a network filesystem'),
    hint: expect.stringContaining('local disk'),
  });
  expect(readdirSync(there)).toEqual([]);

  const local = await openStore(join(there, 'store'));
  await local.close();
  await expect(openStore(join(here, 'store'))).rejects.toMatchObject({ code: 'STORE_ON_NETWORK' });
  await expect(checkStore(join(here, 'store'))).rejects.toMatchObject({ code: 'STORE_ON_NETWORK' });
  const wasOpened = readdirSync(join(there, 'store')).filter((name) => name.startsWith('tmp'));
  expect(wasOpened).toEqual(['tmp']);
});

for (const [magic, name] of [
  [0x6969, 'nfs'],
  [0xff534d42, 'cifs'],
  [-11317950, 'cifs'], // as a signed number
  [0xfe534d42, 'smb2'],
  [0x01021997, '9p'],
  [0x00c36400, 'ceph'],
] as const) {
  test(`a filesystem with the number ${magic} is ${name}, and refused`, () => {
    expect(filesystemOf('/', () => magic)).toBe(name);
    expect(() => refuseNetwork('/srv/store', name)).toThrow(expect.objectContaining({ code: 'STORE_ON_NETWORK' }));
  });
}

for (const name of ['ext4', 'xfs', 'btrfs', 'tmpfs', 'overlay', 'fuse', 'fuse.fuse-overlayfs', '0x1234']) {
  test(`a store may lie on ${name}`, () => expect(refuseNetwork('/srv/store', name)).toBeUndefined());
}

test('a store tells what it lies on, and of which versions it is', async () => {
  const dir = join(tempDir(), 'store');
  mkdirSync(dir);
  const store = await openStore(dir);
  const info = describeStore(store);
  expect(info).toMatchObject({ dir, format: 1, readOnly: false, mountsIndexes: null });
  expect(info.filesystem).toBe(filesystemOf(dir));
  expect(filesystemOf(dir)).not.toBe(`0x${statfsSync(dir).type.toString(16)}`);
  store.database.putFact('mounts index', 'no');
  expect(describeStore(store).mountsIndexes).toBe(false);
  await store.close();
});
