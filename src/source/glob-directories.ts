import { existsSync, readdirSync } from 'node:fs';

/** The existing paths among `patterns`, in which '*' stands for any one name. */
export function globbed(patterns: readonly string[]): string[] {
  return patterns.flatMap((pattern) => {
    const [first = '', ...names] = pattern.split('/');
    return names
      .reduce((found, name) => found.flatMap((dir) => (name === '*' ? children(dir) : [`${dir}/${name}`])), [first])
      .filter((path) => existsSync(path));
  });
}

function children(dir: string): string[] {
  try {
    return readdirSync(dir).map((name) => `${dir}/${name}`);
  } catch {
    return [];
  }
}
