// The parts of the EROFS on-disk format that our indexes use (Linux fs/erofs/erofs_fs.h). Little-endian throughout.
//
// An index is one image of metadata, in blocks of 512 bytes, with the layer's tar as its only external device:
//
//   0      unused                       1280   inodes, each at a multiple of 32 bytes; its number ("nid") is place / 32.
//   1024   superblock, 128 bytes               The root is the first.
//   1152   device slot, 128 bytes       then   blocks of directories and symlinks too large to lie in their inode
//
// After each inode come its extended attributes, and then, by its layout: the contents (a directory's entries, a
// symlink's text) if they are short; the number of the first block they take in the image; or, for files, 8-byte chunk
// indexes that name blocks of the tar. All of it can be made again from the tar, so nothing here needs a version of
// its own beyond the format's.

export const superOffset = 1024;
export const deviceSlotOffset = 1152;
export const inodesOffset = 1280;
export const blockBits = 9;
export const blockSize = 512;
export const slotBits = 5;
export const direntSize = 12;
export const chunkIndexSize = 8;
export const xattrHeaderSize = 12;

export const magic = 0xe0f5e1e2;
export const compatFeatures = 0x1 | 0x2; // superblock checksum; modification (not change) times
export const incompatFeatures = 0x4 | 0x8; // chunk-based files; device table

export const layouts = { plain: 0, inline: 2, chunks: 4 } as const;
/** 8-byte chunk indexes with a device number, instead of bare block numbers. */
export const chunkIndexes = 0x20;
export const maxChunkBits = 31;
/** A chunk that is a hole. */
export const nullBlock = 0xffffffff;

export const modeBits = {
  file: 0o100000,
  dir: 0o040000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
};
export const direntTypes = { file: 1, dir: 2, char: 3, block: 4, fifo: 5, symlink: 7 } as const;

/** Attribute names are stored without these. */
export const xattrPrefixes = [
  ['user.', 1],
  ['trusted.', 4],
  ['security.', 6],
] as const;
