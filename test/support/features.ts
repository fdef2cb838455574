// docs/features.md as data: which feature is in which state, and what shows it.
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

export interface Feature {
  readonly section: string;
  readonly name: string;
  /** As the table says it: 'done', 'refused: …'. */
  readonly state: string;
  /** Names of cases, `*` standing for any text, and paths of tests. */
  readonly shownBy: readonly string[];
}

/** The rows of all tables, in their order. */
export function readFeatures(path = 'docs/features.md'): Feature[] {
  let section = '';
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((line) => {
      section = /^## (.*)/.exec(line)?.[1] ?? section;
      const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'));
      const [, name = '', state = '', shownBy = ''] = cells;
      if (cells.length !== 5 || name === 'Feature' || name === '---') return [];
      return [{ section, name, state, shownBy: [...shownBy.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '') }];
    });
}

/** The cases among `names` that a row names. */
export function casesOf({ shownBy }: Feature, names: readonly string[]): string[] {
  return names.filter((name) => shownBy.some((pattern) => matches(pattern, name)));
}

/** What a row names and there is not. */
export function missingOf({ shownBy }: Feature, names: readonly string[]): string[] {
  return shownBy.filter((pattern) =>
    pattern.startsWith('test/')
      ? !existsSync(pattern.endsWith('*') ? dirname(pattern) : pattern)
      : !names.some((name) => matches(pattern, name)),
  );
}

function matches(pattern: string, name: string): boolean {
  return new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name);
}
