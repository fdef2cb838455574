// What tags may point at after an accident: the last value that was promised, or one that somebody was about to give since.
import assert from 'node:assert';

/** Null: there is no such tag. */
type Value = string | null;

interface Known {
  /** What was promised to be so. */
  promised: Value;
  /** What was tried since. */
  readonly tried: Set<Value>;
}

export class TagModel {
  readonly #tags = new Map<string, Known>();

  /** Somebody begins to give the tag this value, or (null) to take it away. */
  begins(tag: string, value: Value): void {
    this.#of(tag).tried.add(value);
  }

  /** It was promised that the tag has this value now; whatever else was tried is over. */
  promised(tag: string, value: Value): void {
    const known = this.#of(tag);
    known.promised = value;
    known.tried.clear();
  }

  /** @throws AssertionError naming the tags that are lost, half-moved or nobody's */
  check(found: ReadonlyMap<string, string>): void {
    for (const [tag, { promised, tried }] of this.#tags) {
      const value = found.get(tag) ?? null;
      const allowed = [promised, ...tried];
      assert(allowed.includes(value), `${tag} is ${value}, which is none of ${allowed.join(', ')}`);
    }
    for (const tag of found.keys()) assert(this.#tags.has(tag), `nobody made ${tag}`);
  }

  #of(tag: string): Known {
    const known = this.#tags.get(tag) ?? { promised: null, tried: new Set() };
    this.#tags.set(tag, known);
    return known;
  }
}
