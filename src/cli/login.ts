// tsbuild login: try a password at a registry and keep it.
import type { Command } from 'commander';
import { logIn } from '#store';
import { type Cli, UsageError } from './cli.js';
import { askTerminal, readStandardInput } from './prompt.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';

interface LoginOptions extends RegistryFlags {
  readonly username?: string;
  readonly passwordStdin?: boolean;
}

export function configure(command: Command): void {
  command
    .argument('[registry]', 'HOST[:PORT]', 'docker.io')
    .option('-u, --username <name>', 'who logs in (default: asked for)')
    .option('--password-stdin', 'read the password from standard input');
  addRegistryOptions(command);
  command.addHelpText(
    'after',
    '\nThe password is tried, then kept with the credential helper that is configured for the registry, else in the file that\nhas one for it already, else in ~/.config/containers/auth.json.\n\nexample:\n  tsbuild login -u ci --password-stdin registry.example.com <token',
  );
}

export const elsewhere = passwordsElsewhere;
export { registrySwitches as prepare } from './registry-options.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<LoginOptions>();
  const registry = registryName(command.args[0] ?? 'docker.io');
  const login = await askLogin(options);
  const place = await logIn(registry, login, registryOptions(options));
  cli.out(`Login Succeeded: ${registry}, kept in ${place}\n`);
  return 0;
}

/** Habit writes URLs here, and the name of Docker Hub in several ways. */
export function registryName(text: string): string {
  const host = text.replace(/^https?:\/\//, '').replace(/\/(v[12]\/?)?$/, '');
  if (/^(index|registry-1)\.docker\.io$/.test(host)) return 'docker.io';
  if (/^[A-Za-z0-9.-]+(:\d+)?$|^\[[0-9A-Fa-f:]+\](:\d+)?$/.test(host)) return host;
  throw new UsageError('USAGE', {
    message: `${JSON.stringify(text)} is no registry`,
    hint: 'it is HOST or HOST:PORT, without the name of a repository',
  });
}

async function askLogin({ username, passwordStdin }: LoginOptions): Promise<{ username: string; password: string }> {
  if (passwordStdin === true) {
    if (username === undefined)
      throw new UsageError('USAGE', { message: '--password-stdin needs a user', hint: 'give --username' });
    return { username, password: required(await readStandardInput(), 'password') };
  }
  if (!process.stdin.isTTY) {
    throw new UsageError('USAGE', {
      message: 'there is no terminal to ask for the password',
      hint: 'give --username, and the password on standard input with --password-stdin',
    });
  }
  const user = required(username ?? (await askTerminal('Username: ', 'shown')), 'user');
  return { username: user, password: required(await askTerminal('Password: ', 'hidden'), 'password') };
}

function required(text: string, what: string): string {
  if (text !== '') return text;
  throw new UsageError('USAGE', { message: `the ${what} is empty`, hint: 'nothing was asked of the registry' });
}
