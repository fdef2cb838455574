// Which stage a name means. A table for each Buildfile: looking through all stages for each name grows with their square.
import type { Buildfile } from '../buildfile/index.js';

const tables = new WeakMap<Buildfile, ReadonlyMap<string, readonly number[]>>();

/** Number of the last stage of that name, in any case, among those before `limit`; -1 if there is none. */
export function stageNumber(file: Buildfile, name: string, limit = file.stages.length): number {
  const table = tables.get(file) ?? numbersByName(file);
  tables.set(file, table);
  return table.get(name.toLowerCase())?.findLast((number) => number < limit) ?? -1;
}

function numbersByName(file: Buildfile): ReadonlyMap<string, readonly number[]> {
  const table = new Map<string, number[]>();
  file.stages.forEach(({ from }, number) => {
    if (from.name === null) return;
    const numbers = table.get(from.name);
    if (numbers) numbers.push(number);
    else table.set(from.name, [number]);
  });
  return table;
}
