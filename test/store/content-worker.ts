// Another process that uses a store: worker.mjs DIR import TAR…, or hold DIFFID.
import { createReadStream } from 'node:fs';
import { findLayer, importLayer, openLease, openStore, parseDiffId } from '#store';

const [dir = '', verb = '', ...args] = process.argv.slice(2);
const store = await openStore(dir);
const lease = await openLease(store, 'worker');
if (verb === 'import') {
  process.stdout.write('ready\n');
  for (const path of args)
    process.stdout.write(`${(await importLayer(store, lease, createReadStream(path))).diffId}\n`);
} else {
  process.stdout.write(`${findLayer(store, parseDiffId(args[0] ?? ''))?.diffId ?? 'missing'}\n`);
  await new Promise((resolve) => setTimeout(resolve, 60_000));
}
await lease.release();
await store.close();
process.exit(0);
