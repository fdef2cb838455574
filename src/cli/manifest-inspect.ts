import type { Command } from 'commander';
import { storeDocuments } from '#store';
import type { Cli } from './cli.js';
import { parseAddress } from './image-address.js';
import { Ends, openSource, openStoreAt } from './open-address.js';
import { findNamed } from './open-image.js';
import { addRegistryOptions, passwordsElsewhere, type RegistryFlags, registryOptions } from './registry-options.js';

export function configure(command: Command): void {
  command.argument('<list>', 'NAME in the store, docker://NAME, oci:DIR[:tag], …');
  addRegistryOptions(command);
  command.addHelpText('after', '\nexample:\n  tsbuild manifest inspect docker://localhost:5000/app:1');
}

export const elsewhere = passwordsElsewhere;
export { registrySwitches as prepare } from './registry-options.js';

export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<RegistryFlags & { store?: string }>();
  const address = parseAddress(command.args[0] ?? '');
  const ends = new Ends(cli);
  try {
    const opening = { store: options.store, access: registryOptions(options), onProgress: undefined };
    const source = address.transport === 'store' ? await inStore() : await openSource(ends, address, opening);
    const { bytes } = await source.root();
    cli.out(`${JSON.stringify(JSON.parse(bytes.toString('utf8')), null, 2)}\n`);
  } finally {
    await ends.close();
  }
  return 0;

  async function inStore(): Promise<ReturnType<typeof storeDocuments>> {
    if (address.transport !== 'store') throw new Error('not in a store');
    const { store, name } = await openStoreAt(cli, address, options.store);
    return storeDocuments(store, (await findNamed(store, name)).digest, name);
  }
}
