// How a layer's tar says that files of the layers below are gone (OCI image-spec v1.1, layer.md "Whiteouts").
import type { RawPath, Xattr } from '#native';

export const whiteoutPrefix = '.wh.';
export const opaqueMarker = '.wh..wh..opq';

const aufsPrefix = '.wh..wh.';

export type NameKind = 'plain' | 'whiteout' | 'opaque' | 'ignored' | 'invalid';

/** What a file name in a layer means. 'ignored' are AUFS' own files (.wh..wh.plnk, .wh..wh.aufs), which old images carry. */
export function nameKind(name: string): NameKind {
  if (!name.startsWith(whiteoutPrefix)) return 'plain';
  if (name === opaqueMarker) return 'opaque';
  if (name.startsWith(aufsPrefix)) return 'ignored';
  const hidden = name.slice(whiteoutPrefix.length);
  return hidden === '' || hidden === '.' || hidden === '..' ? 'invalid' : 'whiteout';
}

/** True for names that would mean something else in a layer than the file they name. */
export function isReservedName(path: RawPath): boolean {
  return path.startsWith(whiteoutPrefix, path.lastIndexOf('/') + 1);
}

/**
 * The extended attributes that belong to an image: file capabilities and the user's own. The rest is the machine's
 * (labels, integrity, ACL) or would steer the overlay itself.
 */
export function imageXattrs(xattrs: readonly Xattr[]): readonly Xattr[] {
  if (xattrs.length === 0 || xattrs.every(isImageXattr)) return xattrs;
  return xattrs.filter(isImageXattr);
}

function isImageXattr({ name }: Xattr): boolean {
  return name === 'security.capability' || (name.startsWith('user.') && !name.startsWith('user.overlay.'));
}
