// /etc/subuid and /etc/subgid: which ids an ordinary user may use beside its own.
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';

/** Arguments of newuidmap and newgidmap: triples of inside, outside and count, separated by spaces. */
export interface IdMaps {
  readonly uids: string;
  readonly gids: string;
}

/** The maps for this user: root inside is the user, 1 and up are its ranges. Undefined where it has no ranges. */
export function readIdMaps(): IdMaps | undefined {
  const { uid, gid, username } = userInfo();
  const uids = idMap(readText('/etc/subuid'), [username, String(uid)], uid);
  const gids = idMap(readText('/etc/subgid'), [username, String(uid)], gid);
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

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
