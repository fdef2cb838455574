// --filter of du, gc and cache: which entries of the build cache a command is about.
import type { CacheEntry } from '#store';
import { closest } from '../base/index.js';
import { UsageError } from './cli.js';
import { durationMs } from './quantities.js';

export interface CacheFilter {
  matches(entry: CacheEntry): boolean;
  /** Of until=: what was used within this time is not meant. */
  readonly unusedForMs: number | undefined;
}

type Test = (entry: CacheEntry) => boolean;

/** Shown where an entry has it as text. */
const texts: Readonly<Record<string, (entry: CacheEntry) => readonly string[]>> = {
  id: ({ id, type }) => [id, shortId(id), ...(type === 'exec.cachemount' ? [] : [id.replace('sha256:', '')])],
  description: ({ description }) => [description],
  type: ({ type }) => [type],
};
const switches: Readonly<Record<string, Test>> = {
  inuse: ({ inUse }) => inUse,
  mutable: ({ mutable }) => mutable,
  immutable: ({ mutable }) => !mutable,
  shared: ({ shared }) => shared,
  private: ({ shared }) => !shared,
};
/** Of time; the second is what docker's daemon.json has. */
const ages = ['until', 'unused-for'];
const names = [...Object.keys(texts), ...Object.keys(switches), ...ages];

/** As lists show it. */
export function shortId(id: string): string {
  return id.replace('sha256:', '').slice(0, 12);
}

/**
 * Several filters are all to be true, but of those that name the same text one; a text may hold several, with commas between.
 *
 * @throws UsageError
 */
export function cacheFilter(filters: readonly string[]): CacheFilter {
  const tests: Test[] = [];
  /** By name: an entry has one of the values. */
  const choices = new Map<string, Test[]>();
  let unusedForMs: number | undefined;
  for (const text of filters.flatMap((each) => each.split(','))) {
    const [, name = '', operator = '', value = ''] = /^([^=!~]*)(==|=|!=|~=)?(.*)$/s.exec(text) ?? [];
    const test = ages.includes(name) && operator === '=' ? null : testOf(text, name, operator, value);
    if (test === null) unusedForMs = Math.max(unusedForMs ?? 0, durationMs(name, value));
    else if (!Object.hasOwn(texts, name) || operator === '!=') tests.push(test);
    else choices.set(name, [...(choices.get(name) ?? []), test]);
  }
  for (const choice of choices.values()) tests.push((entry) => choice.some((test) => test(entry)));
  return { matches: (entry) => tests.every((test) => test(entry)), unusedForMs };
}

function testOf(text: string, name: string, operator: string, value: string): Test {
  const textsOf = Object.hasOwn(texts, name) ? texts[name] : undefined;
  if (textsOf !== undefined && operator !== '') {
    const isEqual = operator === '~=' ? matching(text, value) : (each: string) => each === value;
    const isWanted = operator !== '!=';
    return (entry) => textsOf(entry).some(isEqual) === isWanted;
  }
  const isOn = Object.hasOwn(switches, name) ? switches[name] : undefined;
  if (isOn !== undefined) {
    const wanted = operator === '' || /^(1|t|true)$/i.test(value);
    if (operator === '~=' || (!wanted && !/^(0|f|false)$/i.test(value))) throw bad(text, `${name} is true or false`);
    return (entry) => isOn(entry) === (wanted !== (operator === '!='));
  }
  const near = closest(name, names);
  throw bad(text, names.includes(name) ? `write ${name}=VALUE` : near ? `did you mean ${near}?` : listed);
}

const listed = `it is one of ${names.join(', ')}`;

function matching(text: string, pattern: string): (value: string) => boolean {
  try {
    const expression = new RegExp(pattern);
    return (value) => expression.test(value);
  } catch {
    throw bad(text, 'after ~= stands a regular expression');
  }
}

function bad(text: string, hint: string): UsageError {
  return new UsageError('USAGE', { message: `--filter ${text} is no filter of the cache`, hint });
}
