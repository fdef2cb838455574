// Times commands: alternating, so that a noisy minute hits all of them; medians, so that one bad run hits none.
import { spawnSync } from 'node:child_process';

export interface Contender {
  readonly name: string;
  /** Puts everything in place, untimed; called before each run. */
  readonly prepare?: (run: number) => void;
  /** Shell command to time. */
  readonly command: (run: number) => string;
  /** Untimed, after each run; may turn the measured milliseconds into the figure that counts. */
  readonly figure?: (ms: number, output: string) => number;
}

export interface Figure {
  readonly name: string;
  readonly medianMs: number;
  readonly minMs: number;
  readonly maxMs: number;
}

/** Before a command: in front of everybody else on the machine, where that is allowed. Not every peer bears it. */
export const inFront = spawnSync('chrt', ['-f', '10', 'true']).status === 0 ? 'chrt -f 10 ' : '';

/** Runs every contender `runs` times in turn. A command that fails ends the benchmark: a wrong figure is worse than none. */
export function measure(contenders: readonly Contender[], runs: number, env: NodeJS.ProcessEnv): Figure[] {
  const times = contenders.map((): number[] => []);
  for (let run = 0; run < runs; run++) {
    contenders.forEach((contender, i) => {
      contender.prepare?.(run);
      const started = process.hrtime.bigint();
      const done = spawnSync('sh', ['-c', contender.command(run)], { env, encoding: 'utf8', maxBuffer: 1 << 28 });
      const ms = Number(process.hrtime.bigint() - started) / 1e6;
      if (done.status !== 0) {
        throw new Error(
          `${contender.name}: exit ${done.status}\n${done.stdout.slice(-2000)}${done.stderr.slice(-4000)}`,
        );
      }
      times[i]?.push(contender.figure?.(ms, done.stdout + done.stderr) ?? ms);
    });
  }
  return contenders.map(({ name }, i) => summary(name, times[i] ?? []));
}

function summary(name: string, times: readonly number[]): Figure {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return { name, medianMs: at(0.5), minMs: at(0), maxMs: at(1) };
}
