// An image of three layers as other tools write them (GNU tar's PAX, atime and ctime, './' names, sparse members), put
// together by hand to an OCI layout; and what its files are, made from the same tars by GNU tar and the specification's words.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Every kind of file, in data/. Needs root: it makes devices, owners and capabilities. */
const lowerScript = `set -eu
capability=0x0100000200040000000000000000000000000000
mkdir -p data/plain data/nodes; cd data/plain
echo text > file; : > empty; head -c 1000000 /dev/zero | tr '\\0' z > large
mkdir -p empty-dir gone-dir/sub opaque/sub file-later dir-meta moved/deep/er rename-me
echo g > gone-file; echo g > gone-dir/sub/g; echo o > opaque/old; echo o > opaque/sub/old; echo x > file-later/x
echo d > dir-later; echo m > moved/deep/er/m; echo r > rename-me/r; echo c > change-mode; ln -s file link-later
echo h > hard-1; ln hard-1 hard-2; ln hard-1 moved/hard-3
ln -s file link; ln -s /no/where dangling; ln -s "$(printf '%0300d' 7)" long-link; ln -s ../../.. up
echo s > setuid; chown 5:6 setuid; chmod 6755 setuid; mkdir -m 1777 sticky; mkdir -m 2750 setgid; chmod 0 change-mode
echo o > owned; chown 65535:65534 owned; chown -h 60000:1 dangling; mkdir -m 700 private; chown 12:34 private
mkfifo -m 620 pipe
printf 'start' > holes; truncate -s 3M holes; printf 'end' >> holes
touch -- "$(printf 'latin1-\\344\\366\\374')" "$(printf 'bytes\\377\\001')" 'new
line' 'back\\slash' ' ' '-rf' '"' "$(printf '%0255d' 1)"
d=$(printf '%0120d' 2); mkdir -p "$d/$d/$d/$d"; echo deep > "$d/$d/$d/$d/$(printf '%0200d' 3)"
cp /bin/true capable; setfattr -n security.capability -v $capability capable
setfattr -n user.text -v value file; setfattr -n user.empty file; setfattr -n user.binary -v 0x00ff0a3d file
setfattr -n user.on-dir -v yes private; setfattr -n user.long -v "$(printf '%02000d' 4)" large
cd ../nodes; mknod -m 666 null c 1 3; mknod disk b 259 1048575; chown 0:6 disk
cd ../..; find data -depth -exec touch -h -d @1111111111.123456789 {} +
touch -d '1965-04-03 02:01:00.5' data/plain/file; touch -h -d '2150-01-01 00:00:00.000000001' data/plain/link
touch -d '2001-02-03 04:05:06' data/plain/sticky data/plain/pipe
`;

/** On top: whiteouts, opaque directories, and files of another kind than below. */
const middleScript = `set -eu
mkdir -p data/plain; cd data/plain
touch .wh.gone-file .wh.gone-dir .wh.never-was-there
mkdir opaque dir-later link-later; touch opaque/.wh..wh..opq; echo n > opaque/new; echo d > dir-later/d; echo l > link-later/l
echo f > file-later; mkdir -m 711 dir-meta; chown 3:4 dir-meta
mkdir gone-and-back; echo b > gone-and-back/b
cd ../..; find data -depth -exec touch -h -d @1222222222.5 {} +
`;

/** Sparse members, which no index can express. */
const upperScript = `set -eu
mkdir -p data/plain; cd data/plain
truncate -s 5M sparse; printf data | dd of=sparse bs=1 seek=3000001 conv=notrunc status=none
truncate -s 1M all-hole; chown 7:8 sparse; chmod 640 sparse
cd ../..; find data -depth -exec touch -h -d @1333333333.25 {} +
`;

const layerScripts = [
  { script: lowerScript, options: [] },
  { script: middleScript, options: [] },
  { script: upperScript, options: ['--sparse'] },
] as const;

export interface ForeignImage {
  /** OCI layout whose image has `baseTar` and the three layers. */
  readonly layout: string;
  /** A directory with what the three layers mean together. */
  readonly truth: string;
}

/** @param baseTar a layer with the programs to look at the others */
export function makeForeignImage(dir: string, baseTar: string): ForeignImage {
  const tars = layerScripts.map(({ script, options }, i) => makeLayer(join(dir, `layer-${i}`), script, options));
  const truth = join(dir, 'truth');
  mkdirSync(truth);
  for (const tar of tars) applyLayer(truth, tar);
  return { layout: makeLayout(join(dir, 'layout'), [baseTar, ...tars]), truth };
}

function makeLayer(dir: string, script: string, options: readonly string[]): string {
  mkdirSync(dir);
  execFileSync('sh', ['-c', script], { cwd: dir, stdio: 'pipe' });
  const format = ['--format=posix', '--xattrs', '--xattrs-include=*', '--numeric-owner'];
  execFileSync('tar', [...format, ...options, '-C', dir, '-cf', `${dir}.tar`, './data'], { stdio: 'pipe' });
  return `${dir}.tar`;
}

/** @see OCI image-spec v1.1, layer.md "Applying Changesets" and "Whiteouts" */
function applyLayer(root: string, tar: string): void {
  const script = `set -eu
tar -tf "$1" | while read -r name; do case $name in
  */.wh..wh..opq) dir=\${name%/*}; find "$dir" -mindepth 1 -delete;;
  */.wh.*) rm -rf "\${name%/*}/\${name##*/.wh.}";;
  */) [ ! -L "\${name%/}" ] && [ ! -f "\${name%/}" ] || rm "\${name%/}";;
  *) rm -rf "$name";;
esac; done
tar --xattrs --xattrs-include='*' --numeric-owner --same-owner -p --exclude='.wh.*' -xf "$1"
`;
  execFileSync('sh', ['-c', script, 'apply', tar], { cwd: root, stdio: 'pipe' });
}

function makeLayout(dir: string, tars: readonly string[]): string {
  mkdirSync(join(dir, 'blobs/sha256'), { recursive: true });
  const layers = tars.map((tar) => {
    const digest = sha256(readFileSync(tar));
    copyFileSync(tar, join(dir, 'blobs/sha256', digest));
    return describe('application/vnd.oci.image.layer.v1.tar', digest, statSync(tar).size);
  });
  const put = (mediaType: string, value: unknown): ReturnType<typeof describe> => {
    const bytes = Buffer.from(JSON.stringify(value));
    writeFileSync(join(dir, 'blobs/sha256', sha256(bytes)), bytes);
    return describe(mediaType, sha256(bytes), bytes.length);
  };
  const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch;
  const config = put('application/vnd.oci.image.config.v1+json', {
    architecture,
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = put(mediaType, { schemaVersion: 2, mediaType, config, layers });
  writeFileSync(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }));
  writeFileSync(join(dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  return dir;
}

function describe(mediaType: string, hex: string, size: number): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest: `sha256:${hex}`, size };
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
