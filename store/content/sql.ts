// SQLite, as libsql packages it. The only file that knows the engine.
//
// WAL mode with synchronous=NORMAL: a commit waits for no disk and survives a kill; a power cut may lose the last transactions
// but never tears the database. Checkpoints do wait for the disk, so they happen only when the log is found large at
// opening, and in garbage collection; a process that ends by process.exit() leaves the log as it is.
// No other code of this process may open and close the file: closing it would drop SQLite's locks (fcntl, per process).
import { closeSync, openSync, readSync } from 'node:fs';
import type { Database as Connection, Statement } from 'libsql';
import { hasCode, storeFault } from './faults.js';

export type Value = string | number | null;
export type Row = Readonly<Record<string, Value>>;

/** The SQL engine, loaded once (15 ms). */
export interface Engine {
  open(path: string): Connection;
}

export async function loadEngine(): Promise<Engine> {
  requireDescriptors(filesOfEngine);
  const { default: Libsql } = await withCheapReport(() => import('libsql'));
  return { open: (path) => new Libsql(path) };
}

/**
 * At import, libsql has node make a whole diagnostic report (7 ms) to learn one thing: glibc or musl. Which of the two this
 * process runs on stands in its executable's first bytes too, as the name of its dynamic loader.
 */
async function withCheapReport<T>(load: () => Promise<T>): Promise<T> {
  const { report } = process;
  const { getReport } = report;
  const head = readHead('/proc/self/exe');
  if (!head.includes('/ld-linux')) return load();
  report.getReport = () => ({ header: { glibcVersionRuntime: 'some' } });
  try {
    return await load();
  } finally {
    report.getReport = getReport;
  }
}

/** The engine says of its refusals only a number, at the end of a sentence. */
function openConnection(engine: Engine, path: string): Connection {
  try {
    return engine.open(path);
  } catch (error) {
    const number = /: (\d+)"?\)?$/.exec(error instanceof Error ? error.message : '')?.[1];
    const code = openCodes[Number(number)];
    throw code === undefined ? error : Object.assign(new Error(`${path}: ${code}`, { cause: error }), { code });
  }
}

/** @see https://sqlite.org/rescode.html */
const openCodes: Readonly<Record<number, string>> = {
  8: 'SQLITE_READONLY',
  10: 'SQLITE_IOERR',
  11: 'SQLITE_CORRUPT',
  13: 'SQLITE_FULL',
  14: 'SQLITE_CANTOPEN',
  26: 'SQLITE_NOTADB',
};

/** So many the engine opens for itself and a database; without one of them it ends the process, or says that the file can't be opened. */
const filesOfEngine = 12;

/** @throws EMFILE, ENFILE where so many files can't be opened */
function requireDescriptors(count: number): void {
  const opened: number[] = [];
  try {
    for (let i = 0; i < count; i++) opened.push(openSync('/dev/null', 'r'));
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}

/**
 * Reads the log once, so that what can't be read is an error. The engine takes an unreadable place for the end of the log when
 * it recovers it, and forgets all transactions from there on; now it finds everything in memory.
 */
function readThrough(path: string): void {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  try {
    const buffer = Buffer.allocUnsafe(1 << 18);
    while (readSync(fd, buffer) > 0);
  } finally {
    closeSync(fd);
  }
}

function readHead(path: string): Buffer {
  const head = Buffer.alloc(4096);
  const fd = openSync(path, 'r');
  try {
    return head.subarray(0, readSync(fd, head));
  } finally {
    closeSync(fd);
  }
}

export class Sql {
  readonly #path: string;
  readonly #statements = new Map<string, Statement<Value[]>>();
  #connection: Connection | null = null;

  /** Opens `path`, creating the file where it does not exist. */
  constructor(engine: Engine, path: string) {
    this.#path = path;
    this.#guard(() => {
      readThrough(`${path}-wal`);
      this.#connection = openConnection(engine, path);
    });
    // The timeout comes first: everything after it may meet another process.
    this.exec('PRAGMA busy_timeout = 20000; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 10000');
  }

  /** Returns how many rows changed. */
  run(sql: string, ...values: readonly Value[]): number {
    return this.#guard(() => this.#statement(sql).run(...values).changes);
  }

  get(sql: string, ...values: readonly Value[]): Row | undefined {
    return this.#guard(() => this.#statement(sql).get(...values) as Row | undefined);
  }

  all(sql: string, ...values: readonly Value[]): Row[] {
    return this.#guard(() => this.#statement(sql).all(...values) as Row[]);
  }

  exec(sql: string): void {
    this.#guard(() => this.#open().exec(sql));
  }

  get inTransaction(): boolean {
    return this.#open().inTransaction;
  }

  /** All or nothing, and alone: other processes' transactions come before or after. Must not nest; `run` must not await. */
  transaction<T>(run: () => T): T {
    this.exec('BEGIN IMMEDIATE');
    try {
      const result = run();
      this.exec('COMMIT');
      return result;
    } catch (error) {
      try {
        this.exec('ROLLBACK');
      } catch {
        // SQLite has rolled back by itself (full disk); the first error is the one to tell.
      }
      throw error;
    }
  }

  /**
   * Drops the connection. SQLite closes it when nothing refers to it any more (and would then wait for the disk), at the
   * latest with the process; process.exit() skips that.
   */
  close(): void {
    this.#statements.clear();
    this.#connection?.close();
    this.#connection = null;
  }

  /** Prepared when first used, then kept. */
  #statement(sql: string): Statement<Value[]> {
    const known = this.#statements.get(sql);
    if (known) return known;
    const made = this.#open().prepare<Value[]>(sql);
    this.#statements.set(sql, made);
    return made;
  }

  #open(): Connection {
    if (this.#connection === null) throw new Error('the store is closed');
    return this.#connection;
  }

  #guard<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw storeFault(error, this.#path);
    }
  }
}
