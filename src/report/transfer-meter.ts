// How fast bytes move, and how long the rest will take. Pure: the clock is given.

/** How far one layer is on its way; states as the store tells them. */
export interface TransferEvent {
  readonly digest: string;
  readonly state: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface Measured {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Lately; null until that can be said. */
  readonly bytesPerSecond: number | null;
  /** Null where nothing moves. */
  readonly etaMs: number | null;
}

interface Sample {
  readonly atMs: number;
  readonly bytes: number;
}

/** Rates are those of the last seconds: a stall shows, and so does its end. */
const windowMs = 5000;

export class Meter {
  readonly #startedMs: number;
  #samples: Sample[];
  #done = 0;
  #total = 0;

  constructor(nowMs: number) {
    this.#startedMs = nowMs;
    this.#samples = [{ atMs: nowMs, bytes: 0 }];
  }

  update(nowMs: number, doneBytes: number, totalBytes: number): void {
    this.#done = doneBytes;
    this.#total = totalBytes;
    const last = this.#samples.at(-1)!;
    // A resumed transfer may step back; a sample each 100 ms is enough.
    if (doneBytes < last.bytes) this.#samples = [{ atMs: nowMs, bytes: doneBytes }];
    else if (nowMs - last.atMs >= 100) this.#samples.push({ atMs: nowMs, bytes: doneBytes });
    while (this.#samples.length > 2 && nowMs - this.#samples[1]!.atMs > windowMs) this.#samples.shift();
  }

  measure(nowMs: number): Measured {
    const first = this.#samples[0]!;
    const elapsedMs = nowMs - first.atMs;
    const bytesPerSecond = elapsedMs < 200 ? null : ((this.#done - first.bytes) * 1000) / elapsedMs;
    const left = Math.max(0, this.#total - this.#done);
    const etaMs = bytesPerSecond === null || bytesPerSecond <= 0 ? null : (left * 1000) / bytesPerSecond;
    return { doneBytes: this.#done, totalBytes: this.#total, bytesPerSecond, etaMs };
  }

  /** From its start on. */
  average(nowMs: number): { readonly durationMs: number; readonly bytesPerSecond: number } {
    const durationMs = Math.max(1, nowMs - this.#startedMs);
    return { durationMs, bytesPerSecond: (this.#done * 1000) / durationMs };
  }
}

/** States in which bytes go over the wire. */
function isMoving(state: string): boolean {
  return state === 'receiving' || state === 'sending';
}

/** All layers of one transfer. */
export class Transfers {
  readonly #now: () => number;
  readonly #layers = new Map<string, { meter: Meter; event: TransferEvent }>();
  readonly #expected = new Map<string, number>();
  readonly #sum: Meter;

  constructor(now: () => number) {
    this.#now = now;
    this.#sum = new Meter(now());
  }

  /** Layers that will be moved. */
  expect(layers: readonly { readonly digest: string; readonly size: number }[]): void {
    for (const { digest, size } of layers) this.#expected.set(digest, size);
  }

  update(event: TransferEvent): void {
    const now = this.#now();
    const known = this.#layers.get(event.digest);
    const meter =
      known !== undefined && known.event.state === event.state ? known.meter : (moved(known, event) ?? new Meter(now));
    meter.update(now, event.doneBytes, event.totalBytes);
    this.#layers.set(event.digest, { meter, event });
    const { doneBytes, totalBytes } = this.#sums();
    this.#sum.update(now, doneBytes, totalBytes);
  }

  /** Layers under way, in the order in which they began. */
  active(): readonly (Measured & TransferEvent)[] {
    const now = this.#now();
    return [...this.#layers.values()]
      .filter(
        ({ event: { state, doneBytes, totalBytes } }) =>
          isMoving(state) || (state === 'compressing' && doneBytes < totalBytes),
      )
      .map(({ meter, event }) => ({ ...event, ...meter.measure(now) }));
  }

  total(): Measured {
    return this.#sum.measure(this.#now());
  }

  average(): { readonly durationMs: number; readonly bytesPerSecond: number } {
    return this.#sum.average(this.#now());
  }

  averageOf(digest: string): { readonly durationMs: number; readonly bytesPerSecond: number } | null {
    return this.#layers.get(digest)?.meter.average(this.#now()) ?? null;
  }

  /** Layers that were moved, or are. */
  count(): { readonly done: number; readonly all: number } {
    const touched = [...this.#layers.values()].filter(({ event }) => counts(event));
    const waiting = [...this.#expected.keys()].filter((digest) => !this.#layers.has(digest)).length;
    return { done: touched.filter(({ event }) => event.state === 'done').length, all: touched.length + waiting };
  }

  #sums(): { doneBytes: number; totalBytes: number } {
    let [doneBytes, totalBytes] = [0, 0];
    for (const { event } of this.#layers.values()) {
      if (!counts(event)) continue;
      doneBytes += event.doneBytes;
      totalBytes += event.totalBytes;
    }
    for (const [digest, size] of this.#expected) if (!this.#layers.has(digest)) totalBytes += size;
    return { doneBytes, totalBytes };
  }
}

/** 'done' ends what moved before. */
function moved(known: { meter: Meter; event: TransferEvent } | undefined, event: TransferEvent): Meter | null {
  return known !== undefined && event.state === 'done' && isMoving(known.event.state) ? known.meter : null;
}

function counts({ state }: TransferEvent): boolean {
  return isMoving(state) || state === 'done';
}
