// What a server has done, in Prometheus' text format. Labels are of this program only: no client can make new ones.
const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

export interface Measured {
  readonly route: string;
  readonly method: string;
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly durationMs: number;
}

/** What is now. */
export interface Gauges {
  readonly requestsUnderWay: number;
  readonly uploadsOpen: number;
  readonly uploadBytes: number;
  readonly storedBytes: number;
}

const knownMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #durations = new Map<string, { readonly counts: number[]; sum: number; count: number }>();
  #bytesIn = 0;
  #bytesOut = 0;

  add({ route, method, status, bytesIn, bytesOut, durationMs }: Measured): void {
    const shown = knownMethods.has(method) ? method : 'other';
    const key = `route="${route}",method="${shown}",status="${status}"`;
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
    this.#bytesIn += bytesIn;
    this.#bytesOut += bytesOut;
    const seconds = durationMs / 1000;
    const known = this.#durations.get(route) ?? { counts: buckets.map(() => 0), sum: 0, count: 0 };
    for (const [i, bound] of buckets.entries()) if (seconds <= bound) known.counts[i]!++;
    known.sum += seconds;
    known.count++;
    this.#durations.set(route, known);
  }

  text({ requestsUnderWay, uploadsOpen, uploadBytes, storedBytes }: Gauges): string {
    const requests = [...this.#requests].sort().map(([key, count]) => `tsbuild_http_requests_total{${key}} ${count}`);
    const durations = [...this.#durations]
      .sort()
      .flatMap(([route, { counts, sum, count }]) => [
        ...buckets.map(
          (bound, i) => `tsbuild_http_request_duration_seconds_bucket{route="${route}",le="${bound}"} ${counts[i]}`,
        ),
        `tsbuild_http_request_duration_seconds_bucket{route="${route}",le="+Inf"} ${count}`,
        `tsbuild_http_request_duration_seconds_sum{route="${route}"} ${sum}`,
        `tsbuild_http_request_duration_seconds_count{route="${route}"} ${count}`,
      ]);
    return [
      ...family('tsbuild_http_requests_total', 'counter', 'Requests answered.', requests),
      ...family(
        'tsbuild_http_request_duration_seconds',
        'histogram',
        'From the request to the end of its answer.',
        durations,
      ),
      ...single('tsbuild_http_bytes_received_total', 'counter', 'Bytes of bodies that clients sent.', this.#bytesIn),
      ...single('tsbuild_http_bytes_sent_total', 'counter', 'Bytes of bodies that clients got.', this.#bytesOut),
      ...single('tsbuild_http_requests_in_flight', 'gauge', 'Requests that are being answered.', requestsUnderWay),
      ...single('tsbuild_uploads_open', 'gauge', 'Uploads that are begun and not finished.', uploadsOpen),
      ...single('tsbuild_upload_bytes', 'gauge', 'Bytes that unfinished uploads have sent.', uploadBytes),
      ...single('tsbuild_store_bytes', 'gauge', 'Bytes of blobs and layers in the store.', storedBytes),
      '',
    ].join('\n');
  }
}

function single(name: string, type: string, help: string, value: number): string[] {
  return family(name, type, help, [`${name} ${value}`]);
}

function family(name: string, type: string, help: string, samples: readonly string[]): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples];
}
