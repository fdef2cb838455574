// What the plain report says: which step was executed and which came from the cache; and how long our own tests take.

interface Step {
  /** Without its place in the stage. */
  name: string;
  /** 'DONE', 'CACHED', 'ERROR' or 'CANCELED'. */
  verdict?: string;
}

/** The steps in the order in which they began. */
function steps(stderr: string): Step[] {
  const found = new Map<string, Step>();
  for (const [, vertex = '', rest = ''] of stderr.matchAll(/^#(\d+) (.*)$/gm)) {
    const step = found.get(vertex);
    const verdict = /^(DONE|CACHED|ERROR|CANCELED)\b/.exec(rest)?.[1];
    if (!step) found.set(vertex, { name: rest.replace(/^\[[^\]]+\] /, '') });
    else if (verdict) step.verdict = verdict;
  }
  return [...found.values()];
}

/** Steps that were executed; bases are fetched, not executed. */
export function executed(stderr: string): string[] {
  return steps(stderr)
    .filter(({ name, verdict }) => verdict !== 'CACHED' && !name.startsWith('FROM '))
    .map(({ name }) => name);
}

/** How many steps came from the cache. */
export function cachedSteps(stderr: string): number {
  return steps(stderr).filter(({ verdict }) => verdict === 'CACHED').length;
}

/** Why steps were not cached, step by step. */
export function reasons(stderr: string): string[] {
  return [...stderr.matchAll(/^#\d+ not cached: (.*)$/gm)].map((line) => line[1] ?? '');
}

/** What the steps printed, line by line. */
export function stepOutput(stderr: string): string[] {
  return [...stderr.matchAll(/^#\d+ \d+\.\d{3} (.*)$/gm)].map((line) => line[1] ?? '');
}

/** Prints how long something took: the durations that CI is asked for. */
export async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  console.log(`${what}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return result;
}
