// The contents of an EROFS directory: blocks of 512 bytes, each with its entries in front and their names behind.
// Names are in byte order over all blocks, '.' and '..' among them, so that a name is found by bisection.
import { blockSize, direntSize, direntTypes } from './erofs.js';
import type { LayerNode } from './layer-tree.js';

export function sortedNames(names: Iterable<string>): string[] {
  return ['.', '..', ...names].sort(); // one character a byte: the default order is that of bytes
}

/** How many of `names` from `from` on go into one block. */
function blockEnd(names: readonly string[], from: number): { end: number; used: number } {
  let used = 0;
  let end = from;
  for (; end < names.length; end++) {
    const next = used + direntSize + names[end]!.length;
    if (next > blockSize) break;
    used = next;
  }
  return { end, used };
}

/** All blocks count whole but the last. */
export function directoryBytes(names: readonly string[]): number {
  let bytes = 0;
  for (let from = 0; ; ) {
    const { end, used } = blockEnd(names, from);
    if (end === names.length) return bytes + used;
    bytes += blockSize;
    from = end;
  }
}

export function writeDirectory(
  image: Buffer,
  at: number,
  names: readonly string[],
  childOf: (name: string) => LayerNode,
  nidOf: (child: LayerNode) => number,
): void {
  let block = at;
  for (let from = 0; from < names.length; block += blockSize) {
    const { end } = blockEnd(names, from);
    let nameOffset = (end - from) * direntSize;
    for (let i = from; i < end; i++) {
      const name = names[i]!;
      const child = childOf(name);
      const entry = block + (i - from) * direntSize;
      image.writeUInt32LE(nidOf(child), entry); // the high half stays 0: an index is far below 2^37 bytes
      image.writeUInt16LE(nameOffset, entry + 8);
      image[entry + 10] = child.type === 'whiteout' ? direntTypes.char : direntTypes[child.type];
      image.write(name, block + nameOffset, 'latin1');
      nameOffset += name.length;
    }
    from = end;
  }
}
