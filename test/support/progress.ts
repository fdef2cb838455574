// What the plain report says: which step was executed and which came from the cache; and how long our own tests take.

/** What each step came to: its text without the number → 'DONE', 'CACHED', 'ERROR' or 'CANCELED'. */
function verdicts(stderr: string): Map<string, string> {
  const names = new Map<string, string>();
  const found = new Map<string, string>();
  for (const [, vertex = '', rest = ''] of stderr.matchAll(/^#(\d+) (.*)$/gm)) {
    const verdict = /^(DONE|CACHED|ERROR|CANCELED)\b/.exec(rest)?.[1];
    if (verdict) found.set(names.get(vertex) ?? '', verdict);
    else if (!names.has(vertex)) names.set(vertex, rest.replace(/^\[[^\]]+\] /, ''));
  }
  return found;
}

/** Steps that were executed; bases are fetched, not executed. */
export function executed(stderr: string): string[] {
  return [...verdicts(stderr)].flatMap(([name, verdict]) =>
    verdict !== 'CACHED' && !name.startsWith('FROM ') ? [name] : [],
  );
}

/** Prints how long something took: the durations that CI is asked for. */
export async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  console.log(`${what}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return result;
}
