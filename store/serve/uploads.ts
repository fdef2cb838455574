// Uploads that are under way. Each is a directory, so that it outlives the server:
//
//   uploads/<id>/state.json   {"repository","startedMs"}
//   uploads/<id>/data         the bytes that came so far; its size is the offset
//   uploads/<id>/lock         flocked by the request that adds to it
//
// Begun: directory, state. A request appends under the lock; whatever breaks it, what came stays, and the client asks how
// much that is. Finished: the bytes are hashed (on their way in, if this process saw them all), the file is renamed to its blob and
// gets its rows in one transaction, the directory goes. Killed before the rename, the upload is there as it was; killed after it, the
// upload is unknown and its blob has no row: the client begins anew. Ids can't be guessed, and count in their repository only.
import { createHash, type Hash, randomBytes } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FileLock, lockFile } from '#native';
import { adoptBlob } from '../content/blob.js';
import { hasCode } from '../content/faults.js';
import type { Store } from '../content/handle.js';
import { uploadsDir } from '../content/paths.js';
import type { BlobRow } from '../content/schema.js';
import type { Digest } from '../words.js';
import { RequestError } from './errors.js';

export interface Upload {
  readonly id: string;
  /** Bytes that are there. */
  readonly size: number;
}

export interface UploadLimits {
  readonly maxUploads: number;
  /** Uploads that nothing was added to for so long are given up. */
  readonly timeoutMs: number;
}

const patienceMs = 2000;
const idPattern = /^[\w-]{32}$/;

export class Uploads {
  readonly #store: Store;
  readonly #limits: UploadLimits;
  /** Digests of what this process has seen of uploads from their beginning. */
  readonly #hashes = new Map<string, { readonly hash: Hash; size: number }>();
  readonly #sizes = new Map<string, number>();

  constructor(store: Store, limits: UploadLimits) {
    this.#store = store;
    this.#limits = limits;
    if (store.readOnly) return;
    mkdirSync(uploadsDir(store.dir), { recursive: true, mode: 0o700 });
    for (const id of readdirSync(uploadsDir(store.dir))) this.#sizes.set(id, this.#sizeOf(id));
  }

  get count(): number {
    return this.#sizes.size;
  }

  get bytes(): number {
    let sum = 0;
    for (const size of this.#sizes.values()) sum += size;
    return sum;
  }

  /** @throws RequestError TOOMANYREQUESTS */
  begin(repository: string): Upload {
    if (this.count >= this.#limits.maxUploads) this.expire();
    if (this.count >= this.#limits.maxUploads) {
      const words = `${this.count} uploads are under way: finish or cancel some`;
      throw new RequestError(429, 'TOOMANYREQUESTS', words, { 'retry-after': '60' });
    }
    const id = randomBytes(24).toString('base64url');
    mkdirSync(this.#dir(id), { mode: 0o700 });
    writeFileSync(join(this.#dir(id), 'data'), '', { mode: 0o600 });
    writeFileSync(join(this.#dir(id), 'state.json'), JSON.stringify({ repository, startedMs: Date.now() }), {
      mode: 0o600,
    });
    this.#sizes.set(id, 0);
    this.#hashes.set(id, { hash: createHash('sha256'), size: 0 });
    return { id, size: 0 };
  }

  /** @throws RequestError BLOB_UPLOAD_UNKNOWN, of another repository's too */
  find(id: string, repository: string): Upload {
    if (idPattern.test(id) && existsSync(join(this.#dir(id), 'data')) && this.#repositoryOf(id) === repository) {
      const size = this.#sizeOf(id);
      this.#sizes.set(id, size);
      return { id, size };
    }
    throw new RequestError(
      404,
      'BLOB_UPLOAD_UNKNOWN',
      'there is no such upload: it was finished, cancelled or given up',
    );
  }

  /**
   * Runs `work` while no other request, of this process or another, changes the upload.
   *
   * @throws RequestError BLOB_UPLOAD_INVALID
   */
  async exclusively<T>(upload: Upload, repository: string, work: (upload: Upload) => Promise<T>): Promise<T> {
    const lock = await this.#lock(upload.id);
    if (lock === null) {
      throw new RequestError(409, 'BLOB_UPLOAD_INVALID', 'another request is adding to this upload');
    }
    try {
      return await work(this.find(upload.id, repository));
    } finally {
      lock.close();
    }
  }

  /** Adds what `chunks` gives. What came before they failed stays. */
  async append({ id, size }: Upload, chunks: AsyncIterable<Buffer>, onBytes: (bytes: number) => void): Promise<number> {
    const seen = this.#hashes.get(id);
    const hashed = seen?.size === size ? seen : null;
    if (hashed === null) this.#hashes.delete(id);
    const file = await open(join(this.#dir(id), 'data'), 'r+');
    let end = size;
    try {
      // One chunk is written while the next one comes.
      let writing: Promise<unknown> = Promise.resolve();
      try {
        for await (const chunk of chunks) {
          onBytes(chunk.length);
          await writing;
          writing = writeAll(file, chunk, end);
          writing.catch(() => {}); // awaited before the next one
          hashed?.hash.update(chunk);
          end += chunk.length;
          if (hashed !== null) hashed.size = end;
          this.#sizes.set(id, end);
        }
      } finally {
        await writing;
      }
    } catch (error) {
      // How far it came, only the file knows now.
      if (statSync(join(this.#dir(id), 'data')).size !== end) this.#hashes.delete(id);
      throw error;
    } finally {
      await file.close();
    }
    return end;
  }

  /**
   * Makes the upload a blob. With the wrong digest it is given up: none of it can be right.
   *
   * @throws RequestError DIGEST_INVALID
   */
  async finish({ id, size }: Upload, digest: Digest, alongside: () => void): Promise<BlobRow> {
    const path = join(this.#dir(id), 'data');
    const seen = this.#hashes.get(id);
    const hash = seen?.size === size ? seen.hash : createHash('sha256');
    if (seen?.size !== size) {
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
    }
    this.#hashes.delete(id);
    const actual: Digest = `sha256:${hash.digest('hex')}`;
    if (actual !== digest) {
      this.#remove(id);
      throw new RequestError(
        400,
        'DIGEST_INVALID',
        `the ${size} bytes that came have the digest ${actual}, not ${digest}`,
      );
    }
    const blob = { digest, size };
    await adoptBlob(this.#store, path, blob, alongside);
    this.#remove(id);
    return blob;
  }

  /** Under `exclusively`. */
  cancel({ id }: Upload): void {
    this.#remove(id);
  }

  /** Gives up what nobody has added to for too long. */
  expire(): void {
    const before = Date.now() - this.#limits.timeoutMs;
    for (const id of readdirSync(uploadsDir(this.#store.dir))) {
      const stat = statSync(join(this.#dir(id), 'data'), { throwIfNoEntry: false });
      if (stat === undefined || stat.mtimeMs < before) this.#remove(id);
      else this.#sizes.set(id, stat.size);
    }
    for (const id of this.#sizes.keys()) if (!existsSync(this.#dir(id))) this.#forget(id);
  }

  #dir(id: string): string {
    return join(uploadsDir(this.#store.dir), id);
  }

  /** A client that lost its connection comes back faster than that is noticed here. */
  async #lock(id: string): Promise<FileLock | null> {
    try {
      for (const untilMs = Date.now() + patienceMs; ; await sleep(25)) {
        const lock = await lockFile(join(this.#dir(id), 'lock'), 'exclusive', false);
        if (lock !== null || Date.now() >= untilMs) return lock;
      }
    } catch (error) {
      if (existsSync(this.#dir(id))) throw error;
      throw new RequestError(404, 'BLOB_UPLOAD_UNKNOWN', 'there is no such upload');
    }
  }

  #sizeOf(id: string): number {
    return statSync(join(this.#dir(id), 'data'), { throwIfNoEntry: false })?.size ?? 0;
  }

  #repositoryOf(id: string): string | null {
    try {
      const state = JSON.parse(readFileSync(join(this.#dir(id), 'state.json'), 'utf8')) as { repository?: unknown };
      return typeof state.repository === 'string' ? state.repository : null;
    } catch (error) {
      if (error instanceof SyntaxError || hasCode(error, 'ENOENT')) return null; // torn by a power cut, or removed just now
      throw error;
    }
  }

  #remove(id: string): void {
    rmSync(this.#dir(id), { recursive: true, force: true });
    this.#forget(id);
  }

  #forget(id: string): void {
    this.#hashes.delete(id);
    this.#sizes.delete(id);
  }
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, chunk: Buffer, position: number): Promise<void> {
  for (let written = 0; written < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, written, chunk.length - written, position + written);
    written += bytesWritten;
  }
}
