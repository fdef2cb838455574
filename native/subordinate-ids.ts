// /etc/subuid and /etc/subgid: which ids an ordinary user may use beside its own.
import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';

/** Arguments of newuidmap and newgidmap: triples of inside, outside and count, separated by spaces. */
export interface IdMaps {
  readonly uids: string;
  readonly gids: string;
}

/** PATH of the helpers that write the maps. */
export const helperPath = `${process.env.PATH ?? ''}:/usr/bin:/bin`;

/**
 * The maps for this user: root inside is the user, 1 and up are its ranges. Undefined where it has no ranges, or no
 * helpers to write them (package uidmap): then its own id is all there is.
 */
export function readIdMaps(): IdMaps | undefined {
  if (!isInstalled('newuidmap') || !isInstalled('newgidmap')) return undefined;
  const [uid, gid] = [process.getuid!(), process.getgid!()];
  const owners = [userName(), String(uid)];
  const uids = idMap(readText('/etc/subuid'), owners, uid);
  const gids = idMap(readText('/etc/subgid'), owners, gid);
  return uids === undefined || gids === undefined ? undefined : { uids, gids };
}

/** The map for one kind of id out of the text of a subordinate id file, whose lines are `owner:first:count`. */
export function idMap(text: string, owners: readonly string[], own: number): string | undefined {
  const triples = [`0 ${own} 1`];
  let inside = 1;
  for (const line of text.split('\n')) {
    const [owner = '', first = '', count = ''] = line.trim().split(':');
    if (!owners.includes(owner) || !/^\d+$/.test(first) || !/^[1-9]\d*$/.test(count)) continue;
    triples.push(`${inside} ${first} ${count}`);
    inside += Number(count);
  }
  return inside === 1 ? undefined : triples.join(' ');
}

function isInstalled(program: string): boolean {
  return helperPath.split(':').some((dir) => dir !== '' && existsSync(join(dir, program)));
}

/** '' for an id without an entry in the user database, as some containers and CI runners give. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return '';
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
