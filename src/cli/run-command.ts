// Parses one command's words with commander and runs it.
import { Command, CommanderError } from 'commander';
import { type CommandModule, openCli, UsageError } from './cli.js';

/** @returns the exit code; @throws UsageError for words that can't be understood */
export async function runCommand(
  name: string,
  module: CommandModule,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const command = new Command(`tsbuild ${name}`)
    .exitOverride()
    .option('--store <dir>', 'store directory (default: $TSBUILD_STORE, else ~/.local/share/tsbuild)')
    .option('--debug', 'show stack traces')
    .configureOutput({ writeErr: () => {} });
  module.configure(command);
  try {
    command.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    throw new UsageError('USAGE', {
      message: error.message.replace(/^error: /, ''),
      hint: `tsbuild ${name} --help shows what it takes`,
    });
  }
  const { cli, close } = openCli(process.env, signal);
  try {
    return await module.run(cli, command);
  } finally {
    await close();
  }
}
