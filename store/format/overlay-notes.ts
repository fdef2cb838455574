// What OverlayFS reads from the directories of a lower layer, in extended attributes of its own.
import type { LayerNode } from './layer-tree.js';

export interface OverlayNote {
  /** 'trusted.overlay.' or, for mounts inside a user namespace, 'user.overlay.' goes before it. */
  readonly note: 'opaque' | 'origin';
  readonly value: Buffer;
}

/**
 * An opaque directory hides what lies below it. 'origin' on a directory with whiteouts makes the overlay look for them
 * even where no lower layer has the directory; without it they would be listed as files that can't be opened.
 */
export function overlayNotes(dir: LayerNode): OverlayNote[] {
  const notes: OverlayNote[] = [];
  if (dir.opaque) notes.push({ note: 'opaque', value: yes });
  if (hasWhiteouts(dir)) notes.push({ note: 'origin', value: empty });
  return notes;
}

const yes = Buffer.from('y');
const empty = Buffer.alloc(0);

function hasWhiteouts({ children }: LayerNode): boolean {
  if (children) for (const child of children.values()) if (child.type === 'whiteout') return true;
  return false;
}
