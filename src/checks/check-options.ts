// 'skip=A,B;error=true;experimental=all': which rules are asked, and whether a finding fails the build.
import { BuildError, closest, type SourceFile, type Warning } from '../base/index.js';
import type { Buildfile, Word } from '../buildfile/index.js';
import { isRule, type RuleName, rules } from './rules.js';

export interface CheckOptions {
  /** False for rules that are skipped, and for experimental ones that nobody asked for. */
  asks(rule: RuleName): boolean;
  /** Findings fail the build. */
  readonly error: boolean;
  /** Where that is said. */
  readonly at: Word['at'] | undefined;
  /** Slips that change nothing. */
  readonly warnings: readonly Warning[];
}

/** Names the options in place of the file. */
const checkArgument = 'BUILDKIT_DOCKERFILE_CHECK';

/** Of a whole build: the build argument's, else the directive's. @throws BuildError CHECK_INVALID */
export function checkOptionsOf(file: Buildfile, buildArgs: ReadonlyMap<string, string>): CheckOptions {
  const given = buildArgs.get(checkArgument);
  if (given !== undefined) {
    const source: SourceFile = { name: checkArgument, text: given };
    return parseCheckOptions({ text: given, at: { file: source, start: 0, end: given.length } });
  }
  const directive = file.directives.find(({ name }) => name === 'check');
  return parseCheckOptions(directive === undefined ? null : { text: directive.value, at: directive.at });
}

/** @param text null: nothing is said @throws BuildError CHECK_INVALID */
export function parseCheckOptions(text: Word | null): CheckOptions {
  const lists: Record<'skip' | 'experimental', Set<string>> = { skip: new Set(), experimental: new Set() };
  const warnings: Warning[] = [];
  let error = false;
  for (const part of text === null ? [] : partsOf(text, warnings)) {
    const [key, value] = keyAndValue(part);
    switch (key.text) {
      case 'skip':
      case 'experimental':
        lists[key.text] = new Set(ruleNames(value, warnings));
        break;
      case 'error':
        error = requireBoolean(value);
        break;
      default:
        throw unknownKey(key);
    }
  }
  const names = (list: Set<string>, rule: RuleName): boolean => list.has('all') || list.has(rule);
  return {
    error,
    at: text?.at,
    warnings,
    asks: (rule) => (rules[rule].experimental ? names(lists.experimental, rule) : !names(lists.skip, rule)),
  };
}

/** The parts between semicolons. As with the field, a blank ends it all. */
function partsOf({ text, at }: Word, warnings: Warning[]): Word[] {
  const [first = ''] = text.split(/\s/, 1);
  const rest = text.slice(first.length).trim();
  if (rest !== '' && first !== '') {
    warnings.push({
      code: 'CHECK_CUT',
      message: `the options of the checks end at the first blank: ${JSON.stringify(rest)} is not read`,
      at: { ...at, start: at.end - rest.length },
      hint: 'write them without blanks, as in skip=A,B;error=true',
    });
  }
  return first === '' ? [] : split({ text: first, at }, ';');
}

function split({ text, at }: Word, separator: string): Word[] {
  let start = at.start;
  return text.split(separator).map((part) => {
    const piece = { text: part, at: { ...at, start, end: start + part.length } };
    start += part.length + separator.length;
    return piece;
  });
}

function keyAndValue(part: Word): [key: Word, value: Word] {
  const equals = part.text.indexOf('=');
  if (equals < 0) throw unknownKey(part);
  const { text, at } = part;
  const middle = at.start + equals;
  return [
    { text: text.slice(0, equals), at: { ...at, end: middle } },
    { text: text.slice(equals + 1), at: { ...at, start: Math.min(middle + 1, at.end) } },
  ];
}

const keys = ['skip', 'error', 'experimental'];

function unknownKey({ text, at }: Word): BuildError {
  const near = closest(text, keys);
  return new BuildError('CHECK_INVALID', {
    message: keys.includes(text) ? `${text} needs a value` : `invalid check option ${JSON.stringify(text)}`,
    hint:
      near !== undefined && near !== text
        ? `did you mean ${near}?`
        : 'write it as in skip=A,B;error=true;experimental=all',
    at,
  });
}

function requireBoolean({ text, at }: Word): boolean {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw new BuildError('CHECK_INVALID', { message: `error is true or false, not ${JSON.stringify(text)}`, at });
}

function ruleNames(value: Word, warnings: Warning[]): string[] {
  if (value.text === 'all') return ['all'];
  const names = split(value, ',');
  for (const { text, at } of names) {
    if (isRule(text)) continue;
    const near = text === 'all' ? undefined : closest(text, Object.keys(rules));
    warnings.push({
      code: 'CHECK_UNKNOWN',
      message: text === 'all' ? "'all' stands alone" : `there is no check ${JSON.stringify(text)}`,
      at,
      hint: near === undefined ? 'docs/checks.md lists them' : `did you mean ${near}?`,
    });
  }
  return names.map(({ text }) => text).filter(isRule);
}
