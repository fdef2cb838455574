// How the time grows with n, whatever n counts. What is there without any n (the start of a process) is taken away.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { diamond, manyInstructions, manyLayers } from './buildfiles.js';
import { inFront, measure } from './measure.js';
import type { Bench } from './scenarios.js';

interface Dimension {
  readonly name: string;
  readonly sizes: readonly number[];
  /** Shell command; its time counts, or the milliseconds that it prints. */
  readonly command: (n: number) => string;
  readonly prepare?: (n: number, run: number) => void;
  readonly prints?: boolean;
}

/** Prints the table. */
export function scaling(bench: Bench, runs: number): void {
  console.log(
    `\nscaling: ms at each n, the fastest of the runs${inFront && `, by ${inFront.trim()}`}, then µs for each one of n   (goal: nothing grows faster than linearly)`,
  );
  for (const dimension of dimensions(bench)) {
    const at = [1, ...dimension.sizes].map((n) => ({ n, ms: fastest(dimension, n, runs) }));
    const start = dimension.prints ? 0 : Math.min(...at.map(({ ms }) => ms));
    const rows = at.slice(1).map(({ n, ms }) => ({ n, ms, each: ((ms - start) / n) * 1000 }));
    const [before, last] = rows.slice(-2);
    const measurable = before !== undefined && before.ms - start > noiseMs;
    const growth = measurable && last ? last.each / before.each : Number.NaN;
    const cells = rows.map(({ n, ms, each }) => `${n}: ${ms.toFixed(1)} (${each.toFixed(1)})`.padEnd(24));
    console.log(
      `  ${dimension.name.padEnd(34)} ${cells.join('')} ${measurable ? `×${growth.toFixed(2)}` : '–'}${growth > 1.3 ? '  !' : ''}`,
    );
  }
}

/** What two runs of the same may differ by: growth that starts below it can't be told. */
const noiseMs = 4;

/** The run that was least disturbed. */
function fastest({ command, prepare, prints }: Dimension, n: number, runs: number): number {
  const [figure] = measure(
    [
      {
        name: String(n),
        prepare: (run) => prepare?.(n, run),
        command: () => inFront + command(n),
        ...(prints ? { figure: (_ms: number, output: string) => Number(output) } : {}),
      },
    ],
    runs,
    process.env,
  );
  return figure?.minMs ?? Number.NaN;
}

const sizes = [10, 100, 1000];

function dimensions(bench: Bench): Dimension[] {
  const inProcess = (words: string): string => `node ${join(bench.root, 'dist/.bench-in-process.cjs')} ${words}`;
  const built = (name: string, text: (n: number) => string, extra?: (dir: string, n: number) => void) =>
    builds(bench, name, text, extra);
  return [
    { name: 'lines parsed', sizes: [...sizes, 10_000], command: (n) => inProcess(`parse ${n}`), prints: true },
    { name: 'stages planned', sizes: [10, 100, 200, 1000], command: (n) => inProcess(`plan ${n}`), prints: true },
    ...built('stages', diamond),
    ...built('instructions in a stage', manyInstructions),
    ...built('COPY steps, layers', manyLayers),
    ...built('files in the context', () => 'FROM scratch\nCOPY tree /tree\n', writeTree),
  ];
}

/** The first build in a store, and the same again. */
function builds(
  bench: Bench,
  name: string,
  text: (n: number) => string,
  extra?: (dir: string, n: number) => void,
): Dimension[] {
  const dirOf = (n: number): string => join(bench.dir, 'scaling', name.replaceAll(/\W/g, '-'), String(n));
  const command = (n: number): string =>
    `${join(bench.root, 'bin/tsbuild')} --store ${dirOf(n)}/store -q -t x:1 ${dirOf(n)}/context >/dev/null`;
  const write = (n: number): void => {
    const context = join(dirOf(n), 'context');
    mkdirSync(context, { recursive: true });
    writeFileSync(join(context, 'Buildfile'), text(n));
    writeFileSync(join(context, 'file'), 'x');
    extra?.(context, n);
  };
  const fresh = (n: number, run: number): void => {
    if (run === 0) write(n);
    rmSync(join(dirOf(n), 'store'), { recursive: true, force: true });
  };
  return [
    { name: `${name}, first build`, sizes, command, prepare: fresh },
    { name: `${name}, unchanged`, sizes, command },
  ];
}

function writeTree(context: string, n: number): void {
  for (let i = 0; i < n; i++) {
    const dir = join(context, 'tree', `d${Math.floor(i / 100)}`);
    if (i % 100 === 0) mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, `f${i}`), `file ${i}`);
  }
}
