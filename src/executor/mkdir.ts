// WORKDIR: a directory that the image may not have yet.
import { rawPath } from '#native';
import type { DraftEntry, RootView } from '#store';
import type { MkdirVertex } from '../graph/index.js';
import { Destination, type MadeAt } from './copy-destination.js';
import { lookupOwner } from './owner.js';

/**
 * The directory and its missing parents, 0755 and owned by the vertex's user, with the directories above them as they
 * are. [] if it is there already, be it through symlinks.
 *
 * @throws BuildError COPY_DEST_NOT_DIRECTORY, COPY_LINK_LOOP, USER_NOT_FOUND, USER_INVALID
 */
export function planMkdir(vertex: MkdirVertex, view: RootView, made: MadeAt): DraftEntry[] {
  const to = new Destination(view, made, vertex.at);
  const path = to.resolve(rawPath(vertex.path));
  if (to.lookup(path)?.type === 'dir') return [];
  to.makeDirectory(path, lookupOwner(view, vertex.user, vertex.at));
  return to.landings().map((landing) => landing.draft);
}
