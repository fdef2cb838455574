// tsbuild logout: forget a registry's password.
import type { Command } from 'commander';
import { logOut } from '#store';
import type { Cli } from './cli.js';
import { registryName } from './login.js';

interface LogoutOptions {
  readonly authfile?: string;
}

export function configure(command: Command): void {
  command
    .argument('[registry]', 'HOST[:PORT]', 'docker.io')
    .option('--authfile <file>', 'the file of passwords (default: everywhere where one would be found)')
    .addHelpText('after', '\nexample:\n  tsbuild logout registry.example.com');
}

export async function run(cli: Cli, command: Command): Promise<number> {
  const registry = registryName(command.args[0] ?? 'docker.io');
  const cleared = await logOut(registry, { authFile: command.opts<LogoutOptions>().authfile });
  if (cleared.length === 0) cli.out(`Not logged in to ${registry}\n`);
  else cli.out(`Removed login credentials for ${registry} from ${cleared.join(', ')}\n`);
  return 0;
}
