// Mirrors before the registry itself: whoever has what is asked for answers, and failures fall through to the next.
import { StoreError } from '../errors.js';
import { plainText } from '../image/plain-text.js';
import type { Mirror, Registry, Sources } from './registry-types.js';
import { TransientError } from './retry.js';

export function newSources(mirrors: readonly Mirror[]): Sources {
  return { mirrors, failed: new Set(), preferred: null };
}

/**
 * Runs `ask` for a mirror after the other, then for the registry itself.
 *
 * @throws what the registry itself says, with what the mirrors said
 */
export async function fromSources<T>(
  registry: Registry,
  kind: 'tag' | 'digest',
  ask: (source: Registry) => Promise<T>,
): Promise<T> {
  const failures: string[] = [];
  for (const mirror of order(registry.sources, kind)) {
    try {
      const answer = await ask(mirror === 'upstream' ? registry : await mirror.open());
      registry.sources.preferred = mirror;
      return answer;
    } catch (error) {
      noteFailure(registry, mirror, error, failures);
    }
  }
  throw new Error('unreachable: the registry itself is always asked');
}

/** As fromSources, of bytes: the next source goes on after the last byte that came. */
export async function* bytesFromSources(
  registry: Registry,
  open: (source: Registry, start: number) => AsyncGenerator<Buffer>,
): AsyncGenerator<Buffer> {
  const failures: string[] = [];
  let received = 0;
  for (const mirror of order(registry.sources, 'digest')) {
    try {
      for await (const chunk of open(mirror === 'upstream' ? registry : await mirror.open(), received)) {
        received += chunk.length;
        yield chunk;
      }
      return;
    } catch (error) {
      noteFailure(registry, mirror, error, failures);
    }
  }
}

function order({ mirrors, failed, preferred }: Sources, kind: 'tag' | 'digest'): (Mirror | 'upstream')[] {
  const usable = mirrors.filter(
    (mirror) => !failed.has(mirror) && mirror.takes !== (kind === 'tag' ? 'digest-only' : 'tag-only'),
  );
  const all = [...usable, 'upstream' as const];
  const first = all.find((each) => each === preferred);
  if (first === undefined) return all;
  const rest = all.filter((each) => each !== first && each !== 'upstream');
  return first === 'upstream' ? [first] : [first, ...rest, 'upstream'];
}

function noteFailure(registry: Registry, mirror: Mirror | 'upstream', thrown: unknown, failures: string[]): void {
  const error = thrown instanceof TransientError ? thrown.final : thrown;
  if (mirror === 'upstream' || !(error instanceof StoreError)) throw withFailures(error, failures);
  if (error.code !== 'REGISTRY_NOT_FOUND') registry.sources.failed.add(mirror);
  failures.push(`${mirror.name} (${plainText(error.message, 200)})`);
}

function withFailures(error: unknown, failures: readonly string[]): unknown {
  if (failures.length === 0 || !(error instanceof StoreError)) return error;
  const { code, message, hint, cause } = error;
  return new StoreError(code, {
    message: `${message}; mirrors were asked before: ${failures.join('; ')}`,
    hint,
    cause,
  });
}
