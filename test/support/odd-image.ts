// An image with everything that gets lost on the way between tools: made from a root that has it all and a step that
// removes, replaces, renames and links. /truth in it is what that step itself saw at its end.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { listScript } from './tree.js';
import { output, type Person } from './tsbuild.js';

/** Needs root: it makes devices, owners and capabilities. */
const baseScript = `set -eu
mkdir dev proc sys tmp run etc; touch etc/hosts etc/resolv.conf
mkdir -p gone/deep/er replaced/sub moved/sub dir-to-file 'odd names' empty
echo gone > gone/deep/er/file; echo kept > gone/kept; echo old > replaced/sub/old; echo m > moved/sub/file
echo x > dir-to-file/x; echo f > file-to-dir; ln -s moved link-to-dir; ln -s /no/where dangling
echo plain > plain; ln plain hard1; ln plain 'odd names/hard2'; ln -s ../plain 'odd names/relative'
cp /bin/true capable; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 capable
mknod null c 1 3; mknod disk b 7 300; mkfifo pipe
truncate -s 5M sparse; printf data | dd of=sparse bs=1 seek=3000001 conv=notrunc status=none
cd 'odd names'
touch -- ' space ' 'back\\slash' 'new
line' "$(printf 'bytes\\377\\376')" 'ünï' '-rf' '*' '"' "'"
mkdir -p "$(printf '%0100d' 1)/$(printf '%0100d' 2)/$(printf '%0100d' 3)"
echo deep > "$(printf '%0100d' 1)/$(printf '%0100d' 2)/$(printf '%0100d' 3)/$(printf '%0200d' 4)"
ln -s "$(printf '%0300d' 5)" long-target
cd ..
setfattr -n user.text -v value 'odd names'; setfattr -n user.binary -v 0x00ff0a3d22 plain
chown -h 12:34 dangling gone/kept; chown 65534:65534 empty
chmod 6755 capable; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 capable
chmod 1777 tmp; chmod 2775 'odd names'; chmod 0 file-to-dir
touch -d '1965-04-03 02:01:00.5' pipe; touch -h -d '2150-01-01 00:00:00.000000001' dangling
touch -d '2001-02-03 04:05:06.123456789' moved/sub moved 'odd names'
`;

const stepScript = `set -eu
rm -r /gone/deep
rm -r /replaced; mkdir /replaced; echo new > /replaced/new
mv /moved /renamed
rm -r /dir-to-file; echo now a file > /dir-to-file
rm /file-to-dir; mkdir /file-to-dir; echo in it > /file-to-dir/x
rm /link-to-dir; mkdir /link-to-dir; echo in it > /link-to-dir/x
rm /null; ln -s dangling /null
ln /hard1 /hard3
chmod 4711 /plain; setfattr -n user.note -v added /plain
cp /bin/true /ping; setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 /ping; ln /ping /ping2
truncate -s 3M /holes; echo end >> /holes
mkdir -m 3770 /group; chown 7:8 /group; echo of > /group/user; chown 9:10 /group/user; chmod 600 /group/user
touch "/odd names/$(printf 'added\\376')" '/odd names/new
line'; rm '/odd names/-rf'
touch -d '1999-12-31 23:59:59.999999999' /plain /odd\\ names
sh /list.sh / > /truth
`;

const buildfile = `FROM host://sh,coreutils,find,xargs,getfattr,setfattr AS tools
FROM odd:base
COPY --from=tools / /
COPY list.sh step.sh /
RUN sh /step.sh
`;

/** Makes `odd:base` and `odd:1` in root's store. @returns the directory that odd:base was made from */
export async function buildOddImage(root: Person): Promise<string> {
  const rootfs = root.dir('rootfs');
  execFileSync('sh', ['-c', baseScript], { cwd: rootfs });
  const tar = join(root.home, 'odd.tar');
  const options = ['--format=posix', '--sparse', '--xattrs', '--xattrs-include=*', '--numeric-owner'];
  execFileSync('tar', [...options, '-C', rootfs, '-cf', tar, '.']);
  output(await root.run(['import', '-t', 'odd:base', tar]));

  const context = root.dir('odd');
  writeFileSync(join(context, 'Buildfile'), buildfile);
  writeFileSync(join(context, 'step.sh'), stepScript);
  writeFileSync(join(context, 'list.sh'), listScript);
  output(await root.run(['-t', 'odd:1', context]));
  return rootfs;
}
