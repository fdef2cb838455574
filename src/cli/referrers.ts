// tsbuild referrers: what a registry has that refers to an image.
import { type Command, Option } from 'commander';
import { type Descriptor, plainText, readReferrers } from '#store';
import { parsePlatform } from '../platform/index.js';
import type { Cli } from './cli.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';
import { humanBytes, table } from './table.js';

interface ReferrersOptions extends RegistryFlags {
  readonly artifactType?: string;
  readonly format: 'table' | 'json';
  readonly platform?: string;
}

export function configure(command: Command): void {
  command
    .argument('<image>', 'NAME in a registry, with tag or digest')
    .option('--artifact-type <type>', 'only those of this type')
    .addOption(new Option('--format <kind>', 'how to print them').choices(['table', 'json']).default('table'))
    .option(
      '--platform <os/arch[/variant]>',
      'of the image for this platform (default: of the name itself, an index too)',
    );
  addRegistryOptions(command);
  command.addHelpText(
    'after',
    '\nexample:\n  tsbuild referrers --artifact-type application/spdx+json registry.example.com/app:1',
  );
}

export const elsewhere = passwordsElsewhere;
export { registrySwitches as prepare } from './registry-options.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<ReferrersOptions>();
  const { manifests, subject, from } = await readReferrers(command.args[0] ?? '', {
    ...registryOptions(options),
    artifactType: options.artifactType,
    platform: options.platform === undefined ? undefined : parsePlatform(options.platform),
  });
  if (options.format === 'json') {
    cli.out(`${JSON.stringify({ subject, from, manifests }, null, 2)}\n`);
    return 0;
  }
  if (manifests.length === 0) cli.err(`nothing refers to ${subject}\n`);
  else cli.out(table(['DIGEST', 'ARTIFACT TYPE', 'SIZE', 'CREATED'], manifests.map(row)));
  return 0;
}

/** A registry's words, as a terminal may see them. */
function row({ digest, artifactType = '-', size, annotations }: Descriptor): string[] {
  const created = annotations?.['org.opencontainers.image.created'] ?? '-';
  return [digest, plainText(artifactType, 100), humanBytes(size), plainText(created, 40)];
}
