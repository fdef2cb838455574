import type { Command } from 'commander';
import {
  type Digest,
  familiarName,
  findImage,
  formatReference,
  listTags,
  parseReference,
  StoreError,
  untag,
} from '#store';
import type { Cli } from './cli.js';
import { nearestNamed } from './open-image.js';

export function configure(command: Command): void {
  command
    .argument('<image>', 'name or digest')
    .argument('[name...]', 'names to take away from it (default: all it has)')
    .addHelpText(
      'after',
      '\nThe image stays, and is found by its digest, until garbage is collected.\n\nexample:\n  tsbuild untag app:1',
    );
}

/** All of the names are names of the image, or none is taken away. */
export async function run(cli: Cli, command: Command): Promise<number> {
  const [image = '', ...words] = command.args;
  const store = await cli.openStore(command.opts<{ store?: string }>().store);
  const { digest } = await nearestNamed(store, image, () => findImage(store, image));
  const names = listTags(store).flatMap((tag) => (tag.digest === digest ? [tag.reference] : []));
  const wanted = words.length === 0 ? names : words.map((word) => nameAmong(names, word, image, digest));
  for (const name of new Set(wanted)) if (untag(store, name)) cli.out(`Untagged: ${familiarName(name)}\n`);
  return 0;
}

function nameAmong(names: readonly string[], word: string, image: string, digest: Digest): string {
  const name = formatReference(parseReference(word));
  if (names.includes(name)) return name;
  throw new StoreError('IMAGE_NOT_FOUND', {
    message: `${word} is no name of ${image}`,
    hint: `${digest} has ${names.length === 0 ? 'no names' : `the names ${names.map(familiarName).join(', ')}`}`,
  });
}
