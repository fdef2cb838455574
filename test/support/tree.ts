// What a directory tree looks like to find, stat, sha256sum and getfattr: the same script lists it on this machine and inside a
// container, so that two views of one image can be compared line by line.
import { execFileSync } from 'node:child_process';

/**
 * Lists everything below $1 but what a container gets mounted, as base64 of NUL-ended records. Needs sh, coreutils, find
 * and getfattr.
 */
export const listScript = `set -eu
cd "$1"
all() {
  find . -xdev \\( -path ./proc -o -path ./sys -o -path ./dev -o -path ./etc/hosts -o -path ./etc/resolv.conf \\) -prune -o "$@"
}
{
  all -printf 'F%y\\t%m\\t%U:%G\\t%s\\t%T@\\t%D:%i\\t%P\\0L%l\\0'
  all -type f -exec sha256sum -z {} +
  all \\( -type b -o -type c \\) -exec stat --printf 'D%t:%T  %n\\0' {} +
  printf 'X'
  all -print0 | LC_ALL=C sort -z | xargs -0 getfattr -h -d -m - -e hex --absolute-names
} | base64 -w0
`;

export interface ListedFile {
  /** find's letter: f d l b c p s. */
  readonly type: string;
  readonly mode: string;
  readonly owner: string;
  /** Of files and symlinks; what a directory takes is nobody's business. */
  readonly size: string;
  /** Seconds with nine or more decimals. */
  readonly mtime: string;
  readonly target: string;
  /** All names of its inode, where there are several. */
  readonly names: readonly string[];
  readonly sha256: string;
  readonly device: string;
  /** 'name=0x…' each, sorted. */
  readonly xattrs: readonly string[];
}

/** By path, one character a byte; '' is the root. */
export type TreeListing = ReadonlyMap<string, ListedFile>;

/** The tree at `dir` of this machine. */
export function listTree(dir: string): TreeListing {
  return parseListing(
    execFileSync('sh', ['-c', listScript, 'list', dir], { encoding: 'utf8', maxBuffer: 1 << 28, stdio: 'pipe' }),
  );
}

/** What `listScript` printed. */
export function parseListing(base64: string): TreeListing {
  const text = Buffer.from(base64, 'base64').toString('latin1');
  const attributesAt = text.lastIndexOf('\0X') + 1;
  const records = text.slice(0, attributesAt).split('\0').slice(0, -1);
  const files = new Map<string, ListedFile>();
  const inodes = new Map<string, string[]>();
  const hashes = new Map<string, string>();
  const devices = new Map<string, string>();
  const xattrs = parseAttributes(text.slice(attributesAt + 1));
  records.forEach((record, i) => {
    if (/^[0-9a-f]{64} [ *]\.\//.test(record)) {
      hashes.set(record.slice(68), record.slice(0, 64));
    } else if (record.startsWith('D')) {
      devices.set(record.slice(record.indexOf('  ') + 4), record.slice(1, record.indexOf('  ')));
    } else if (record.startsWith('F')) {
      const [type = '', mode = '', owner = '', size = '', mtime = '', inode = '', ...rest] = record
        .slice(1)
        .split('\t');
      const path = rest.join('\t');
      const names = inodes.get(inode) ?? [];
      if (type !== 'd') inodes.set(inode, names);
      names.push(path);
      const target = (records[i + 1] ?? '').slice(1);
      const shownSize = type === 'f' || type === 'l' ? size : '';
      files.set(path, { type, mode, owner, size: shownSize, mtime, target, names, sha256: '', device: '', xattrs: [] });
    }
  });
  for (const [path, file] of files) {
    const sha256 = hashes.get(path) ?? '';
    const names = file.names.length > 1 ? [...file.names].sort() : [];
    files.set(path, { ...file, names, sha256, device: devices.get(path) ?? '', xattrs: xattrs.get(path) ?? [] });
  }
  return files;
}

/** getfattr's paragraphs; it writes odd bytes of names in octal. */
function parseAttributes(text: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const paragraph of text.split('\n\n')) {
    const [title = '', ...lines] = paragraph.split('\n');
    if (!title.startsWith('# file: ')) continue;
    const name = title
      .slice('# file: '.length)
      .replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    found.set(name.replace(/^\.\/?/, ''), lines.filter((line) => line !== '').sort());
  }
  return found;
}

/** One line a file, in byte order of path: what a comparison of two trees shows. */
export function treeLines(tree: TreeListing): string[] {
  return [...tree]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, file]) => {
      const known = Object.entries(file).filter(([, value]) => value.length > 0);
      return `${JSON.stringify(path)} ${known.map(([field, value]) => `${field}=${value}`).join(' ')}`;
    });
}
