// Another process that uses a store: worker.mjs DIR import TAR…, hold DIFFID, or trees OWNER.
import { createReadStream, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ApplyMeta, openHost, rawPath } from '#native';
import {
  collectGarbage,
  commitUpper,
  findLayer,
  importLayer,
  mountLayer,
  openLease,
  openStore,
  parseDiffId,
} from '#store';

const [dir = '', verb = '', ...args] = process.argv.slice(2);
const store = await openStore(dir);
const lease = await openLease(store, 'worker');
if (verb === 'import') {
  process.stdout.write('ready\n');
  for (const path of args)
    process.stdout.write(`${(await importLayer(store, lease, createReadStream(path))).diffId}\n`);
  process.stdout.write(`peak ${process.resourceUsage().maxRSS * 1024}\n`);
} else if (verb === 'trees') {
  process.stdout.write(`${JSON.stringify(await commitForeign(Number(args[0])))}\n`);
} else {
  process.stdout.write(`${findLayer(store, parseDiffId(args[0] ?? ''))?.diffId ?? 'missing'}\n`);
  await new Promise((resolve) => setTimeout(resolve, 60_000));
}
await lease.release();
await store.close();
process.exit(0);

/** Commits an upperdir whose root and files belong to ids of the image, mounts the layer, and collects it. */
async function commitForeign(owner: number): Promise<unknown> {
  const host = await openHost();
  const step = await openLease(store, 'step', () => host);
  const scratch = step.path('scratch');
  mkdirSync(scratch);
  const meta = (uid: number, mode: number): ApplyMeta => ({
    mode,
    uid,
    gid: uid,
    mtimeSec: 1,
    mtimeNsec: 0,
    xattrs: [],
  });
  await host.applyTree(join(scratch, 'upper'), [
    { op: 'dir', path: rawPath(''), meta: meta(owner, 0o755) },
    { op: 'dir', path: rawPath('d'), meta: meta(1000, 0o700) },
    { op: 'file', path: rawPath('d/f'), meta: meta(1000, 0o600), size: 3, content: { bytes: Buffer.from('abc') } },
  ]);
  const committed = await commitUpper(store, step, host, scratch);
  const upperLeft = existsSync(join(scratch, 'upper'));
  const mount = committed === null ? null : await mountLayer(store, step, host, committed.layer);
  const walked = mount?.kind === 'tree' ? await host.walk(mount.dir, { xattrs: false }) : [];
  await step.release();
  await lease.release();
  const { layers, trees } = await collectGarbage(store, { host });
  await host.close();
  const left = ['trees', 'trash', 'tmp'].flatMap((each) => readdirSync(join(dir, each)));
  return { files: walked.map(({ path, uid }) => `${path} ${uid}`), upperLeft, layers, trees, left };
}
