// What kind of filesystem a store lies on. A database with a log needs memory that all who have it open share, and locks that
// all see: neither spans machines. So a store on a network filesystem is not written to.
import { readFileSync, statfsSync } from 'node:fs';
import { StoreError } from '../errors.js';

/** Numbers of statfs(2), for those that people have stores on. @see linux/magic.h and the filesystems' own headers */
const names: Readonly<Record<number, string>> = {
  61267: 'ext4',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  801189825: 'zfs',
  4076150800: 'f2fs',
  3393526350: 'bcachefs',
  16914836: 'tmpfs',
  2035054128: 'overlay',
  1702057286: 'fuse',
  26985: 'nfs',
  4283649346: 'cifs',
  4266872130: 'smb2',
  20859: 'smb',
  16914839: '9p',
  12805120: 'ceph',
  198183888: 'lustre',
  1397113167: 'afs',
  1799439955: 'kafs',
  18225520: 'gfs2',
  1952539503: 'ocfs2',
  2020557398: 'vboxsf',
  3774210530: 'erofs',
  1936814952: 'squashfs',
};

const network = new Set([
  'nfs',
  'cifs',
  'smb2',
  'smb',
  '9p',
  'ceph',
  'lustre',
  'afs',
  'kafs',
  'gfs2',
  'ocfs2',
  'vboxsf',
]);
/** Programs behind FUSE whose files are on other machines. */
const networkPrograms =
  /^fuse\.(sshfs|s3fs|rclone|gcsfuse|blobfuse2?|goofys|glusterfs|juicefs|davfs2?|curlftpfs|cephfs|ceph-fuse|moosefs|mfsmount|seaweedfs|weed|smbnetfs|afuse)\b/;

/** Its name as mount(8) says it, as far as it is known: 'ext4', 'fuse.sshfs'. */
export function filesystemOf(dir: string, probe: (dir: string) => number = (path) => statfsSync(path).type): string {
  const type = probe(dir) >>> 0;
  const name = names[type] ?? `0x${type.toString(16)}`;
  return name === 'fuse' ? (fuseType(dir) ?? name) : name;
}

/** @throws StoreError STORE_ON_NETWORK */
export function refuseNetwork(dir: string, filesystem: string): void {
  if (!network.has(filesystem) && !networkPrograms.test(filesystem)) return;
  throw new StoreError('STORE_ON_NETWORK', {
    message: `store ${dir} lies on ${filesystem}, a network filesystem: its database needs locks and memory shared by all who use it, which end at this machine`,
    hint: "put the store on a local disk (--store); several machines share images by 'tsbuild push' and 'tsbuild pull'",
  });
}

/** By the mount that the directory is on. */
function fuseType(dir: string): string | null {
  let found: { readonly point: string; readonly type: string } | null = null;
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [, point = '', type = ''] = /^\d+ \d+ \S+ \S+ (\S+) .* - (\S+) /.exec(line) ?? [];
    const path = point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    const isAbove = path !== '' && (dir === path || dir.startsWith(path === '/' ? '/' : `${path}/`));
    if (isAbove && (found === null || path.length >= found.point.length)) found = { point: path, type };
  }
  return found?.type ?? null;
}
