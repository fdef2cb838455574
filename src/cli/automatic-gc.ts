// After a command that may have made the store grow: what was settled about garbage collection happens, and is told in one line.
import { automaticPolicies, collectWhenDue, diskSpace, type Store } from '#store';
import type { Cli } from './cli.js';
import { gcSettings } from './gc-settings.js';
import { humanBytes } from './table.js';

/** Reads the settings, so that wrong ones are told before the work. @throws UsageError */
export function openAutomaticGc(cli: Cli, store: Store): () => Promise<void> {
  const { automatic, policies, maxStoreBytes } = gcSettings(cli.env, store);
  const standard = policies ?? automaticPolicies(diskSpace(store).sizeBytes);
  const limits = { policies: automatic ? standard : [], maxStoreBytes };
  return async () => {
    try {
      const done = await collectWhenDue(store, { ...limits, openHost: () => cli.openHost() });
      if (done !== null) cli.err(`${reasons[done.because]}: ${humanBytes(done.freed.bytes)} freed\n`);
    } catch (error) {
      // What was made stays made whatever becomes of this.
      cli.err(`warning: garbage could not be collected: ${(error as Error).message}\n`);
    }
  };
}

const reasons = {
  ceiling: 'the store was larger than $TSBUILD_STORE_MAX',
  policies: 'the build cache was beyond its limits',
} as const;
