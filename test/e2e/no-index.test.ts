// Layers that no index can express: they mount as trees where indexes are mounted otherwise, and everything works.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { archive, file, padded, pax, record, sized } from '../store/raw-tar.js';
import { output, people } from '../support/tsbuild.js';

const platform = process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64';
const sparse = (map: string): Buffer => pax(record('GNU.sparse.size', '3000'), record('GNU.sparse.map', map));
const offBlocks = `${'\0'.repeat(1000)}${'C'.repeat(12)}${'\0'.repeat(1978)}${'D'.repeat(10)}`;

const layers: readonly (readonly [what: string, tar: Buffer, content: string])[] = [
  [
    'a sparse file off the blocks',
    archive(sparse('1000,12,2990,10'), sized('data', '0', 22), padded('C'.repeat(12) + 'D'.repeat(10))),
    offBlocks,
  ],
  ['a last file without its padding', file('data', 'text').subarray(0, 516), 'text'],
];

const buildfile = `FROM host://sh,coreutils AS tools
FROM bare:1
COPY --from=tools / /
RUN sha256sum </data && cp /data /again
FROM tools
COPY --from=bare:1 /data /copied
RUN --mount=type=bind,from=bare:1,target=/mnt sha256sum </copied && sha256sum </mnt/data
`;

for (const person of people()) {
  describe(`${person.name} has a layer with`, () => {
    for (const [what, tar, content] of layers) {
      test(`${what}, which steps, copies and mounts read`, async () => {
        const dir = person.dir('no-index');
        const path = join(dir, 'layer.tar');
        writeFileSync(path, tar);
        writeFileSync(join(dir, 'Buildfile'), buildfile);
        person.own(dir);
        output(await person.run(['import', '--platform', platform, '-t', 'bare:1', path]));
        const hex = createHash('sha256').update(tar).digest('hex');
        const layer = join(person.store, 'layers/sha256', hex);
        expect(readdirSync(layer)).not.toContain('index.erofs');

        const sum = createHash('sha256').update(content, 'latin1').digest('hex');
        output(await person.run(['--no-cache', '--target', '1', '-t', 'on:1', '.'], { cwd: dir }));
        const read = await person.run(['run', 'on:1', 'sh', '-c', 'sha256sum </data; sha256sum </again']);
        expect(output(read).match(/[0-9a-f]{64}/g)).toEqual([sum, sum]);
        const built = await person.run(['--no-cache', '-t', 'copy:1', '.'], { cwd: dir });
        expect(output(await person.run(['run', 'copy:1', 'sha256sum', '/copied']))).toContain(sum);
        output(built);
        expect(built.stderr.split(sum)).toHaveLength(3);
        expect(existsSync(join(person.store, 'trees', hex))).toBe(true);
      });
    }

    test('an attribute of 64 KiB, which few filesystems hold: it works, or the attribute is blamed, not the disk', async () => {
      const dir = person.dir('no-index');
      const path = join(dir, 'layer.tar');
      writeFileSync(path, archive(pax(record('SCHILY.xattr.user.large', 'v'.repeat(65536))), file('data', 'x')));
      writeFileSync(join(dir, 'Buildfile'), buildfile);
      person.own(dir);
      output(await person.run(['import', '--platform', platform, '-t', 'bare:1', path]));
      const { code, stderr } = await person.run(['--no-cache', '--target', '1', '.'], { cwd: dir });
      expect(stderr).not.toContain('STORE_FULL');
      const blamed = 'error[TREE_ATTRIBUTES_TOO_LARGE]: the extended attributes of "data" take 65546 bytes, which';
      if (code !== 0) expect(stderr).toContain(blamed);
    });

    test('an owner beyond the ids of an ordinary user: it works, or the owner is blamed', async () => {
      const dir = person.dir('no-index');
      const path = join(dir, 'layer.tar');
      writeFileSync(path, archive(pax(record('uid', '2000000000')), file('data', 'x')));
      writeFileSync(join(dir, 'Buildfile'), buildfile);
      person.own(dir);
      output(await person.run(['import', '--platform', platform, '-t', 'bare:1', path]));
      const { code, stderr } = await person.run(['--no-cache', '--target', '1', '.'], { cwd: dir });
      const blamed =
        'error[TREE_OWNER_NOT_MAPPED]: "data" in the layer belongs to id 2000000000, which is beyond those';
      if (code !== 0) expect(stderr).toContain(blamed);
      else expect(person.name).toBe('root');
    });
  });
}
