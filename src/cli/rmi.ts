import type { Command } from 'commander';
import { familiarName, listImages, listTags, removeImage, type Store } from '#store';
import { CodedError, renderError } from '../base/index.js';
import { type Cli, UsageError } from './cli.js';
import { nearestNamed } from './open-image.js';

interface RmiOptions {
  readonly all?: boolean;
  readonly force?: boolean;
  readonly ignore?: boolean;
  readonly store?: string;
}

export function configure(command: Command): void {
  command
    .argument('[image...]', 'names or digests')
    .option('-a, --all', 'all images')
    .option('-f, --force', 'remove an image given by digest together with all its names')
    .option('-i, --ignore', 'say nothing of images that are not there')
    .addHelpText(
      'after',
      `
What running builds and programs use of an image stays until they end; everything else goes with the next gc.

examples:
  tsbuild rmi app:1 && tsbuild gc
  tsbuild rmi --all`,
    );
}

/** One that can't be removed does not keep the others. */
export async function run(cli: Cli, command: Command): Promise<number> {
  const options = command.opts<RmiOptions>();
  if ((options.all === true) === command.args.length > 0) {
    throw new UsageError('USAGE', {
      message: options.all ? 'rmi takes either images or --all' : 'rmi is not told what to remove',
      hint: 'tsbuild images lists what there is',
    });
  }
  const store = await cli.openStore(options.store);
  let code = 0;
  for (const text of options.all ? allImages(store) : command.args) {
    try {
      const remove = () => removeImage(store, text, { force: options.force === true || options.all === true });
      const { untagged, deleted } = await nearestNamed(store, text, remove);
      for (const reference of untagged) cli.out(`Untagged: ${familiarName(reference)}\n`);
      if (deleted !== null) cli.out(`Deleted: ${deleted}\n`);
    } catch (error) {
      if (!(error instanceof CodedError) || !isAbout(error.code)) throw error;
      if (error.code === 'IMAGE_NOT_FOUND' && options.ignore) continue;
      cli.err(`${renderError(error)}\n`);
      code = 1;
    }
  }
  return code;
}

/** With names and without; those of an index go with it. */
function allImages(store: Store): Iterable<string> {
  return new Set([...listTags(store), ...listImages(store)].map(({ digest }) => digest));
}

/** True for what is wrong with one image only. */
function isAbout(code: string): boolean {
  return code.startsWith('IMAGE_') || code === 'REFERENCE_INVALID';
}
