// Parses one command's words with commander and runs it.
import { Command, CommanderError } from 'commander';
import { closest } from '../base/index.js';
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
    .showSuggestionAfterError(false)
    .configureOutput({ writeErr: () => {} });
  module.configure(command);
  try {
    command.parse([...(module.prepare?.(argv, command) ?? argv)], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    throw usageError(error, name, command, module.elsewhere ?? {});
  }
  const { cli, explain, addUsers, close } = openCli(process.env, signal);
  try {
    const running = module.run(cli, command).catch((error: unknown) => {
      addUsers(error);
      throw error;
    });
    return await running.finally(close);
  } catch (error) {
    throw explain(error);
  }
}

/** Commander's complaints in the words of our other messages. */
function usageError(
  { code, message }: CommanderError,
  name: string,
  command: Command,
  elsewhere: Readonly<Record<string, string>>,
): UsageError {
  const help = `tsbuild ${name} --help shows what it takes`;
  const text = message.replace(/^error: /, '');
  if (code === 'commander.unknownOption') {
    const [, option = ''] = /^unknown option '([^'=]*)/.exec(text) ?? [];
    if (Object.hasOwn(elsewhere, option)) {
      return new UsageError('USAGE', { message: `${name} has no option ${option} yet`, hint: elsewhere[option] });
    }
    const near = closest(
      option,
      command.options.flatMap(({ long }) => long ?? []),
    );
    return new UsageError('USAGE', {
      message: `${name} has no option ${option}`,
      hint: near === undefined ? help : `did you mean ${near}?`,
    });
  }
  const [, option, value, choices] = invalidChoice.exec(text) ?? [];
  if (choices !== undefined) {
    return new UsageError('USAGE', {
      message: `${option} does not take ${JSON.stringify(value)}`,
      hint: `it takes ${choices.replace(/, (?=[^,]*$)/, ' or ')}`,
    });
  }
  if (code === 'commander.excessArguments') {
    const most = command.registeredArguments.length;
    return new UsageError('USAGE', {
      message: `${name} takes ${most === 0 ? 'no arguments' : `at most ${most}`}, not ${command.args.join(' ')}`,
      hint: help,
    });
  }
  return new UsageError('USAGE', { message: text, hint: help });
}

const invalidChoice = /^option '(?:-\w, )?(--[\w-]+).*' argument '(.*)' is invalid\. Allowed choices are (.*)\.$/s;
