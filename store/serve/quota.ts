// How much a server takes in. What is stored counts by its size, once, and what is being sent counts as it comes.
import type { Store } from '../content/handle.js';
import { RequestError } from './errors.js';
import type { Holdings } from './holdings.js';
import type { Repository } from './repository-names.js';

export interface Limits {
  readonly quotaBytes?: number | undefined;
  readonly repositoryQuotaBytes?: number | undefined;
}

/** How many bytes more may come, and what says so. */
interface Room {
  readonly bytes: number;
  readonly limit: string;
}

export class Quota {
  readonly #store: Store;
  readonly #holdings: Holdings;
  readonly #limits: Limits;
  readonly #underway: () => number;

  /** @param underway bytes of unfinished uploads */
  constructor(store: Store, holdings: Holdings, limits: Limits, underway: () => number) {
    this.#store = store;
    this.#holdings = holdings;
    this.#limits = limits;
    this.#underway = underway;
  }

  room(repository: Repository): Room {
    const rooms: Room[] = [];
    const { quotaBytes, repositoryQuotaBytes } = this.#limits;
    if (quotaBytes !== undefined) {
      const bytes = quotaBytes - this.#store.database.objectBytes() - this.#underway();
      rooms.push({ bytes, limit: `this registry's quota of ${quotaBytes} bytes` });
    }
    if (repositoryQuotaBytes !== undefined) {
      const bytes = repositoryQuotaBytes - this.#holdings.bytes(repository);
      rooms.push({ bytes, limit: `${repository.name}'s quota of ${repositoryQuotaBytes} bytes` });
    }
    rooms.sort((a, b) => a.bytes - b.bytes);
    return rooms[0] ?? { bytes: Number.POSITIVE_INFINITY, limit: '' };
  }

  /** @throws RequestError DENIED where `bytes` more don't fit */
  require(bytes: number, repository: Repository): void {
    const room = this.room(repository);
    if (bytes > room.bytes) throw quotaExceeded(room);
  }
}

export function quotaExceeded({ limit }: Room): RequestError {
  return new RequestError(413, 'DENIED', `${limit} is exceeded: remove images, and collect garbage with 'tsbuild gc'`);
}
