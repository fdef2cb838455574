// --chmod: octal ('755', '4755') or symbolic ('u=rwX,go=rX', '+x', 'g=u') as chmod(1) reads them.
import { BuildError, type Span } from '../base/index.js';

/** The mode that a file or directory gets, from the one that it has. */
export type ModeChange = (mode: number, isDirectory: boolean) => number;

/** The mode of directories that the instruction itself makes: an octal --chmod is for them, too, a symbolic one is not. */
export function madeDirectoryMode(chmod: string | null): number {
  return chmod !== null && /^[0-7]+$/.test(chmod) ? Number.parseInt(chmod, 8) & 0o777 : 0o755;
}

/** @throws BuildError CHMOD_INVALID */
export function parseChmod(text: string, at: Span | undefined): ModeChange {
  if (/^[0-7]+$/.test(text) && Number.parseInt(text, 8) <= 0o7777) {
    const mode = Number.parseInt(text, 8);
    return () => mode;
  }
  const clauses = text.split(',').map((clause) => parseClause(clause));
  if (/^\d+$/.test(text) || clauses.includes(null)) {
    throw new BuildError('CHMOD_INVALID', {
      message: `--chmod=${text} is not a mode`,
      hint: 'write an octal number up to 7777, or symbols such as u=rwX,go=rX',
      at,
    });
  }
  return (mode, isDirectory) =>
    clauses.reduce<number>((now, clause) => (clause ? clause(now, isDirectory) : now), mode);
}

const masks: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 };
const shifts: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

/** One clause: who (none is everyone, whatever the umask), then operators with permissions. */
function parseClause(text: string): ModeChange | null {
  const match = /^([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)$/.exec(text);
  if (!match) return null;
  const who = match[1] === '' ? 'a' : match[1]!;
  const mask = [...who].reduce((bits, letter) => bits | masks[letter]!, 0);
  const actions = [...match[2]!.matchAll(/([-+=])([ugo]|[rwxXst]*)/g)];
  return (mode, isDirectory) =>
    actions.reduce((now, [, operator, permissions]) => {
      const bits = permissionBits(permissions!, now, isDirectory) & mask;
      if (operator === '+') return now | bits;
      if (operator === '-') return now & ~bits;
      // As chmod(1): '=' leaves a directory's setuid and setgid alone unless they are named.
      const kept = isDirectory ? mask & ~0o6000 : mask;
      return (now & ~kept) | bits;
    }, mode);
}

/** The bits that letters stand for, in all three places; the caller's mask picks the place. */
function permissionBits(letters: string, mode: number, isDirectory: boolean): number {
  const copied = shifts[letters];
  if (copied !== undefined) {
    const bits = (mode >> copied) & 0o7;
    return bits | (bits << 3) | (bits << 6);
  }
  let bits = 0;
  for (const letter of letters) {
    if (letter === 'r') bits |= 0o444;
    else if (letter === 'w') bits |= 0o222;
    else if (letter === 'x') bits |= 0o111;
    else if (letter === 'X') bits |= isDirectory || (mode & 0o111) !== 0 ? 0o111 : 0;
    else if (letter === 's') bits |= 0o6000;
    else if (letter === 't') bits |= 0o1000;
  }
  return bits;
}
