// Users and their passwords, as htpasswd(1) -B writes them. The file is read again when it was changed.
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { StoreError } from '../errors.js';

/** Of a password that nobody has: users that don't exist take as long as those that do. */
const nobodysHash = '$2b$10$wan2uKnG0OOfR.5GqdfYIOJDt8808hM35rv/tlYjxrJSmB2VL4HJ.';
const rememberedMs = 300_000;
const mostRemembered = 10_000;
const checksAtOnce = 2;
const mostWaiting = 100;

export class Passwords {
  readonly #path: string;
  #users: ReadonlyMap<string, string>;
  #stamp: string;
  readonly #key = randomBytes(32);
  /** What was found right lately: bcrypt is slow on purpose, and every request brings the password. */
  readonly #right = new Map<string, number>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @throws StoreError SERVE_HTPASSWD_INVALID, SERVE_FILE_UNREADABLE */
  constructor(path: string) {
    this.#path = path;
    this.#stamp = stampOf(path);
    this.#users = readUsers(path);
  }

  async isRight(user: string, password: string): Promise<boolean> {
    this.#reload();
    const hash = this.#users.get(user);
    const key = createHmac('sha256', this.#key).update(`${user.length}:${user}${password}${hash}`).digest('base64');
    const seenMs = this.#right.get(key);
    if (seenMs !== undefined && Date.now() - seenMs < rememberedMs && Date.now() >= seenMs) return true;
    if (!(await this.#check(password, hash ?? nobodysHash)) || hash === undefined) return false;
    if (this.#right.size >= mostRemembered) this.#right.clear();
    this.#right.set(key, Date.now());
    return true;
  }

  /** Few at a time: whoever guesses passwords waits, and others are served meanwhile. */
  async #check(password: string, hash: string): Promise<boolean> {
    if (this.#waiting.length >= mostWaiting) return false;
    if (this.#running >= checksAtOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
    try {
      const { compare } = await import('bcryptjs');
      return await compare(password, hash);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  #reload(): void {
    try {
      const stamp = stampOf(this.#path);
      if (stamp === this.#stamp) return;
      this.#users = readUsers(this.#path);
      this.#stamp = stamp;
      this.#right.clear();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // Being written, or a slip in it: those who were known stay known until it can be read.
    }
  }
}

function stampOf(path: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch (error) {
    throw unreadable(path, error);
  }
}

function readUsers(path: string): ReadonlyMap<string, string> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw unreadable(path, error);
  }
  const users = new Map<string, string>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [, user, hash] = /^([^:]+):(\$2[aby]?\$\d\d\$[./A-Za-z0-9]{53})$/.exec(line.trim()) ?? [];
    if (user === undefined || hash === undefined) {
      throw new StoreError('SERVE_HTPASSWD_INVALID', {
        message: `${path}, line ${i + 1}: not a user with a password hashed by bcrypt`,
        hint: "make it with 'htpasswd -B', which writes USER:$2y$…; other hashes are too easily broken",
      });
    }
    users.set(user, hash);
  }
  if (users.size > 0) return users;
  throw new StoreError('SERVE_HTPASSWD_INVALID', {
    message: `${path} has no users`,
    hint: 'add one: htpasswd -B FILE USER',
  });
}

function unreadable(path: string, cause: unknown): StoreError {
  const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return new StoreError('SERVE_FILE_UNREADABLE', {
    message: `${path} can't be read (${reason})`,
    hint: 'check its name and its permissions',
    cause,
  });
}
