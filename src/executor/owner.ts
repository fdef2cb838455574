// Users and groups by the names that an image gives them: USER, --chown, `run --user`. The image's files are read as
// data, symlinks resolved inside it; nothing of the host's user database or of the image's libraries takes part.
import { rawPath } from '#native';
import type { RootView } from '#store';
import { BuildError, type Span } from '../base/index.js';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface StepUser extends Owner {
  /** Supplementary groups. */
  readonly groups: readonly number[];
  readonly home: string;
}

/**
 * Whose rights a step gets: '', 'name', '1000', 'name:group', '1000:100'. '' is root. A number is always an id, never a
 * name. An id that the image's /etc/passwd doesn't know has group 0 and home '/'.
 *
 * @throws BuildError USER_NOT_FOUND, USER_INVALID
 */
export function lookupUser(view: RootView, spec: string, at: Span | undefined): StepUser {
  const { user, group } = split(spec, at);
  const known = findUser(view, user || '0');
  const uid = known?.uid ?? parseId(user || '0');
  if (uid === null) throw notFound('user', user, '/etc/passwd', at);
  const home = known?.home || '/';
  if (group !== '') return { uid, gid: groupId(view, group, at), groups: [], home };
  return { uid, gid: known?.gid ?? 0, groups: known ? memberships(view, known.name) : [], home };
}

/**
 * The owner that --chown and WORKDIR give to files. A user without a group brings along the primary group of a name,
 * and for a number the group of the same number.
 *
 * @throws BuildError USER_NOT_FOUND, USER_INVALID
 */
export function lookupOwner(view: RootView, spec: string, at: Span | undefined): Owner {
  const { user, group } = split(spec, at);
  const id = user === '' ? 0 : parseId(user);
  const known = id === null ? (findUser(view, user) ?? rootOf(user)) : { uid: id, gid: id };
  if (!known) throw notFound('user', user, '/etc/passwd', at);
  return { uid: known.uid, gid: group === '' ? known.gid : groupId(view, group, at) };
}

/** Ids as Linux programs agree on them: larger ones are refused, not wrapped around. */
const maxId = 2 ** 31 - 1;
const maxDatabaseBytes = 16 * 1024 * 1024;

function split(spec: string, at: Span | undefined): { user: string; group: string } {
  const colon = spec.indexOf(':');
  const user = colon < 0 ? spec : spec.slice(0, colon);
  const group = colon < 0 ? '' : spec.slice(colon + 1);
  for (const part of [user, group]) {
    if (/^[+-]?\d+$/.test(part) && parseId(part) === null) {
      throw new BuildError('USER_INVALID', {
        message: `${part} is not a user or group id`,
        hint: `ids are whole numbers from 0 to ${maxId}`,
        at,
      });
    }
  }
  return { user, group };
}

function parseId(text: string): number | null {
  if (!/^\d{1,10}$/.test(text)) return null;
  const id = Number(text);
  return id <= maxId ? id : null;
}

interface PasswdLine {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

/** The first line of /etc/passwd for a name, or for an id where `user` is a number. */
function findUser(view: RootView, user: string): PasswdLine | null {
  const id = parseId(user);
  for (const [name = '', , uidText = '', gidText = '', , home = ''] of database(view, 'etc/passwd')) {
    const uid = parseId(uidText);
    const gid = parseId(gidText);
    if (uid === null || gid === null) continue;
    if (id === null ? name === user : uid === id) return { name, uid, gid, home };
  }
  return null;
}

/** Root needs no /etc/passwd: `COPY --chown=root:root` works in an empty image. */
function rootOf(name: string): Owner | null {
  return name === 'root' ? { uid: 0, gid: 0 } : null;
}

function groupId(view: RootView, group: string, at: Span | undefined): number {
  const id = parseId(group);
  if (id !== null) return id;
  for (const [name, , gidText = ''] of database(view, 'etc/group')) {
    const gid = parseId(gidText);
    if (name === group && gid !== null) return gid;
  }
  if (group === 'root') return 0;
  throw notFound('group', group, '/etc/group', at);
}

function memberships(view: RootView, user: string): number[] {
  const groups = new Set<number>();
  for (const [, , gidText = '', members = ''] of database(view, 'etc/group')) {
    const gid = parseId(gidText);
    if (gid !== null && members.split(',').includes(user)) groups.add(gid);
  }
  return [...groups];
}

function* database(view: RootView, path: string): Generator<string[]> {
  const entry = view.lookup(rawPath(path), true);
  if (entry?.type !== 'file') return;
  for (const line of view.read(entry, maxDatabaseBytes).toString('utf8').split('\n')) {
    const text = line.trim();
    if (text !== '' && !text.startsWith('#')) yield text.split(':');
  }
}

function notFound(kind: 'user' | 'group', name: string, file: string, at: Span | undefined): BuildError {
  return new BuildError('USER_NOT_FOUND', {
    message: `the ${kind} ${JSON.stringify(name)} is not in the image's ${file}`,
    hint: `create it in an earlier RUN, or give a numeric id`,
    at,
  });
}
