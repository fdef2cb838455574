// What pull, push, copy and save share: how far each layer is.
import { type Command, Option } from 'commander';
import { jsonTransfer, liveTransfer, plainTransfer, silentTransfer, type TransferReport } from '../report/index.js';
import { type Cli, UsageError } from './cli.js';

const kinds = ['auto', 'plain', 'tty', 'json', 'quiet', 'none'] as const;

export interface TransferFlags {
  readonly progress?: (typeof kinds)[number];
  readonly quiet?: boolean;
  readonly jobs?: number;
}

export function addTransferOptions(command: Command): void {
  command
    .addOption(
      new Option('--progress <kind>', 'kind of progress (default: live lines on a terminal, else plain ones)').choices(
        kinds,
      ),
    )
    .option('-q, --quiet', 'print the digest only');
}

/** Of the commands that move layers of their own accord. */
export function addJobsOption(command: Command): void {
  command.option('--jobs <number>', 'move so many layers at the same time (default: 3)', jobs);
}

/** @throws UsageError */
function jobs(text: string): number {
  if (/^[1-9]\d{0,2}$/.test(text)) return Number(text);
  throw new UsageError('USAGE', { message: `--jobs ${text} is no number of layers`, hint: 'as in --jobs 6' });
}

/** Runs `work` with a report of what it moves. */
export async function withTransferReport<T>(
  cli: Cli,
  flags: TransferFlags,
  work: (report: TransferReport) => Promise<T>,
): Promise<T> {
  let ended = false;
  // What is interrupted goes on for a moment, and tells nobody.
  const report = reportOf((text) => {
    if (!ended) cli.err(text);
  }, flags);
  try {
    const result = await work(report);
    report.end();
    return result;
  } catch (error) {
    report.abandon();
    throw error;
  } finally {
    ended = true;
  }
}

function reportOf(write: (text: string) => void, { progress = 'auto', quiet }: TransferFlags): TransferReport {
  if (quiet === true || progress === 'quiet' || progress === 'none') return silentTransfer;
  if (progress === 'json') return jsonTransfer(write);
  const live = progress === 'tty' || (progress === 'auto' && process.stderr.isTTY && process.env.TERM !== 'dumb');
  return live ? liveTransfer({ write, columns: () => process.stderr.columns || 80 }) : plainTransfer(write);
}
