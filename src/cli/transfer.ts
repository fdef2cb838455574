// What pull, push, save and load share: how far each layer is, and waiting for the disk.
import type { OnProgress } from '#store';
import type { Cli } from './cli.js';
import { humanBytes } from './table.js';

/** One line a layer when it starts and when it is there; nothing if `quiet`. */
export function transferProgress(cli: Cli, quiet: boolean): OnProgress {
  const shown = new Map<string, string>();
  return ({ digest, state, doneBytes, totalBytes }) => {
    if (quiet || shown.get(digest) === state) return;
    shown.set(digest, state);
    const size = state === 'done' ? humanBytes(doneBytes) : humanBytes(totalBytes);
    cli.err(`${digest.slice('sha256:'.length).slice(0, 12)}: ${state} ${size}\n`);
  };
}
