// Blobs against their digests, images and tags against what they consist of.
import { readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode, storeFault } from '../content/faults.js';
import { imageComplete } from '../content/image-objects.js';
import * as paths from '../content/paths.js';
import { moveToQuarantine } from '../content/quarantine.js';
import { addImages, readTagCopy, type TagCopy } from '../content/rebuild.js';
import type { BlobRow, TagRow } from '../content/schema.js';
import { writeTagFile } from '../content/tags.js';
import { familiarName } from '../image/reference.js';
import { type Digest, parseDigest } from '../words.js';
import type { Checking } from './checking.js';
import { failed, type Outcome, type Problem, quarantined, type RepairTools, repaired } from './finding.js';
import { isSpare, restoreBlob, restoreLayer } from './restore.js';

const hexName = /^[0-9a-f]{64}$/;

export function checkBlobs(check: Checking): void {
  const { snapshot, store } = check;
  const documents = documentsOf(check);
  const present = new Set<Digest>();
  for (const name of snapshot.names.blobs) {
    if (!hexName.test(name)) continue; // told as a stray
    const digest = parseDigest(`sha256:${name}`);
    present.add(digest);
    const row = snapshot.blobs.get(digest);
    if (row === undefined) {
      addBlob(check, digest, {
        severity: 'leftover',
        code: 'ORPHANED',
        message: 'a blob that the database does not know',
        remedy: "'tsbuild fsck --repair' makes it known if it is whole; 'tsbuild gc' removes it",
        reason: 'the database did not know it, and it is not whole',
      });
    } else {
      checkBlob(check, row, documents.has(digest));
    }
  }
  for (const digest of snapshot.blobs.keys()) {
    if (!present.has(digest) && store.database.blob(digest) !== null) addLost(check, digest);
  }
}

/** Manifests and configs: they are small, and all else is found through them. */
function documentsOf({ snapshot }: Checking): ReadonlySet<Digest> {
  return new Set([
    ...snapshot.images.flatMap(({ digest, configDigest }) => [digest, configDigest]),
    ...snapshot.tags.map(({ digest }) => digest),
  ]);
}

function checkBlob(check: Checking, { digest, size }: BlobRow, isDocument: boolean): void {
  const path = paths.blobFile(check.store.dir, digest);
  const found = statSync(path, { throwIfNoEntry: false })?.size;
  if (found !== undefined && found !== size) {
    addDamaged(check, digest, `it has ${found} bytes instead of ${size}`);
    return;
  }
  if (!isDocument && !check.readsData(digest)) return;
  check.reads.push({
    path,
    done: (hex, trouble) => {
      if (trouble !== null) addDamaged(check, digest, trouble, 'UNREADABLE');
      else if (hex === 'gone') checkGone(check, digest);
      else if (`sha256:${hex}` !== digest) addDamaged(check, digest, `its bytes hash to sha256:${hex}`);
    },
  });
}

function checkGone(check: Checking, digest: Digest): void {
  if (check.store.database.blob(digest) !== null) addLost(check, digest);
}

function addDamaged(check: Checking, digest: Digest, message: string, code: Problem['code'] = 'DAMAGED'): void {
  addBlob(check, digest, {
    severity: 'problem',
    code,
    message,
    remedy: isSpare(check.store, digest)
      ? 'quarantined: it is made or fetched again when it is needed'
      : 'fetched again where a registry has it, else quarantined: pull or build its images again',
    reason: message,
  });
}

function addLost(check: Checking, digest: Digest): void {
  const isNeeded = !isSpare(check.store, digest) && check.snapshot.neededBy(digest).length > 0;
  addBlob(check, digest, {
    severity: isNeeded ? 'problem' : 'leftover',
    code: 'MISSING',
    message: 'the blob is missing',
    remedy: isNeeded ? 'fetched again where a registry has it: else pull or build its images again' : 'forgotten',
    reason: 'it is missing',
  });
}

function addBlob(
  check: Checking,
  digest: Digest,
  problem: Pick<Problem, 'severity' | 'code' | 'message' | 'remedy'> & { readonly reason: string },
): void {
  const { reason, ...rest } = problem;
  check.add({
    ...rest,
    kind: 'blob',
    object: digest,
    path: `blobs/sha256/${digest.slice('sha256:'.length)}`,
    neededBy: check.snapshot.neededBy(digest),
    repair: (tools) => restoreBlob(check, tools, digest, reason),
  });
}

/** Rows of tags, their copies beside the database, and whether their images are whole. */
export function checkTags(check: Checking): void {
  const { snapshot, store } = check;
  const copies = new Map(snapshot.names.tags.map((name) => [name, join(paths.tagsDir(store.dir), name)]));
  for (const tag of snapshot.tags) {
    const path = paths.tagFile(store.dir, tag.reference);
    copies.delete(path.slice(paths.tagsDir(store.dir).length + 1));
    checkCopy(check, tag, path);
    checkImage(check, tag);
  }
  for (const [name, path] of copies) checkLoneCopy(check, name, path);
}

function checkCopy(check: Checking, { reference, digest, updatedMs }: TagRow, path: string): void {
  const { store } = check;
  const copy = readTagCopy(path);
  if (copy?.reference === reference && copy.digest === digest) return;
  if (store.database.tag(reference)?.digest !== digest) return; // moved since the snapshot
  const stat = statSync(path, { throwIfNoEntry: false });
  if (copy?.reference === reference && stat !== undefined) {
    const unknown =
      check.snapshot.names.blobs.includes(copy.digest.slice('sha256:'.length)) &&
      store.database.blob(copy.digest) === null;
    if (unknown || stat.mtimeMs > updatedMs + lagMs) {
      addBehind(check, reference, copy.digest, path);
      return;
    }
  }
  addTag(check, reference, path, {
    // A kill between row and copy leaves the copy old or missing.
    severity: stat === undefined || copy !== null ? 'leftover' : 'problem',
    code: stat === undefined ? 'MISSING' : copy === null ? 'DAMAGED' : 'OUTDATED',
    message: `its copy for rebuilding the database is ${stat === undefined ? 'missing' : copy === null ? 'damaged' : 'outdated'}`,
    remedy: "'tsbuild fsck --repair' writes it again",
    repair: () => {
      const now = store.database.tag(reference);
      if (now !== null) writeTagFile(store, reference, now.digest);
      return repaired('written again');
    },
  });
}

/** A copy is written within moments of its row. */
const lagMs = 10_000;

/** As beside a database of an earlier day. */
function addBehind(check: Checking, reference: string, digest: Digest, path: string): void {
  addTag(check, reference, path, {
    severity: 'problem',
    code: 'OUTDATED',
    message: `the database is behind its copy, which points at ${digest}`,
    remedy: "'tsbuild fsck --repair' points it there if the image is whole",
    repair: () => pointAt(check, reference, digest, path),
  });
}

function checkLoneCopy(check: Checking, name: string, path: string): void {
  const { store } = check;
  const copy = readTagCopy(path);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || (copy !== null && store.database.tag(copy.reference) !== null)) return;
  const isUnfinished = name.endsWith('.new');
  if (isUnfinished && Date.now() - stat.mtimeMs < 60_000) return; // being written
  if (isUnfinished) addUnfinishedCopy(check, name, path);
  else if (copy === null || paths.tagFile(store.dir, copy.reference) !== path) addDamagedCopy(check, name, path);
  else addUnknownTag(check, copy, path);
}

function addUnfinishedCopy(check: Checking, name: string, path: string): void {
  addTag(check, name, path, {
    severity: 'leftover',
    code: 'UNFINISHED',
    message: 'a copy of a tag that was not finished',
    remedy: "'tsbuild fsck --repair' removes it",
    repair: () => {
      rmSync(path, { force: true });
      return repaired('removed');
    },
  });
}

function addDamagedCopy(check: Checking, name: string, path: string): void {
  addTag(check, name, path, {
    severity: 'problem',
    code: 'DAMAGED',
    message: 'a copy of a tag that can not be read',
    remedy: "'tsbuild fsck --repair' puts it into quarantine",
    repair: () => {
      const note = { kind: 'tag', object: name, reason: 'it could not be read', neededBy: [] };
      moveToQuarantine(check.store.dir, path, note);
      return quarantined('now in quarantine/');
    },
  });
}

/** As beside a database of an earlier day. */
function addUnknownTag(check: Checking, copy: TagCopy, path: string): void {
  addTag(check, copy.reference, path, {
    severity: 'problem',
    code: 'ORPHANED',
    message: `the database does not know the tag, its copy points at ${copy.digest}`,
    remedy: "'tsbuild fsck --repair' makes it known if its image is whole",
    repair: () => pointAt(check, copy.reference, copy.digest, path),
  });
}

function pointAt({ store }: Checking, reference: string, digest: Digest, path: string): Outcome {
  const { database, dir } = store;
  return database.transaction(() => {
    addImages(dir, database, digest);
    if (database.blob(digest) !== null && imageComplete(store, digest)) {
      database.putTag(reference, digest);
      return repaired(`points at ${digest} again`);
    }
    const note = { kind: 'tag', object: reference, reason: `its image ${digest} is not whole`, neededBy: [reference] };
    if (database.tag(reference) === null) moveToQuarantine(dir, path, note);
    return failed(`its image ${digest} is not whole: pull or build ${familiarName(reference)} again`);
  });
}

function checkImage(check: Checking, { reference, digest }: TagRow): void {
  const { store, snapshot } = check;
  if (isComplete(check, digest)) return;
  if (store.database.tag(reference)?.digest !== digest) return; // moved since the snapshot
  const row = snapshot.images.find((image) => image.digest === digest);
  const missing = [...(row?.layers.filter((id) => store.database.layer(id) === null) ?? [])];
  const what = missing.length === 0 ? 'a part of its image is missing' : `its image lacks ${missing.join(', ')}`;
  addTag(check, reference, paths.tagFile(store.dir, reference), {
    severity: 'problem',
    code: 'INCOMPLETE',
    message: what,
    remedy: `fetched again where a registry has it: else pull or build ${familiarName(reference)} again, or remove it by 'tsbuild rmi'`,
    repair: (tools) => complete(check, tools, reference, digest),
  });
}

/** Brings what is missing of an image, as far as its documents tell. */
async function complete(check: Checking, tools: RepairTools, reference: string, digest: Digest): Promise<Outcome> {
  const { store } = check;
  const { database, dir } = store;
  const problems: string[] = [];
  const bring = async (wanted: Digest): Promise<void> => {
    if (database.blob(wanted) !== null) return;
    const outcome = await restoreBlob(check, tools, wanted, 'it is missing');
    if (outcome.result === 'failed') problems.push(outcome.message);
  };
  await bring(digest);
  addImages(dir, database, digest);
  const images = [digest, ...childrenOf(check, digest)].map((each) => database.image(each));
  for (const image of images) {
    if (image === null) continue;
    await bring(image.configDigest);
    for (const diffId of image.layers) {
      if (database.layer(diffId) !== null) continue;
      const outcome = await restoreLayer(check, tools, diffId, 'it is missing');
      if (outcome.result === 'failed') problems.push(outcome.message);
    }
  }
  if (isComplete(check, digest)) return repaired('its image is whole again');
  return failed(problems[0] ?? `pull or build ${familiarName(reference)} again`);
}

function childrenOf({ store }: Checking, digest: Digest): Digest[] {
  const text = readText(paths.blobFile(store.dir, digest));
  return [...text.matchAll(/"(sha256:[0-9a-f]{64})"/g)].map(([, each]) => each as Digest);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EIO')) return '';
    throw storeFault(error, path);
  }
}

/** Damage in a document is told of the document. */
function isComplete({ store }: Checking, digest: Digest): boolean {
  try {
    return imageComplete(store, digest);
  } catch (error) {
    if (hasCode(error, 'BLOB_DAMAGED', 'EIO', 'EACCES')) return false;
    throw error;
  }
}

function addTag(
  { add, store }: Checking,
  reference: string,
  path: string,
  problem: Pick<Problem, 'severity' | 'code' | 'message' | 'remedy' | 'repair'>,
): void {
  add({ ...problem, kind: 'tag', object: reference, path: path.slice(store.dir.length + 1), neededBy: [reference] });
}
