// What the builder keeps beside the layers. All of it can be had again, so what is damaged goes into quarantine.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { lockFile } from '#native';
import { cacheMountNames, readCacheMountRecord } from '../content/cache-mount-record.js';
import { hasCode } from '../content/faults.js';
import * as paths from '../content/paths.js';
import { moveToQuarantine } from '../content/quarantine.js';
import type { Checking } from './checking.js';
import { failed, type Problem, quarantined, repaired } from './finding.js';

export async function checkCaches(check: Checking): Promise<void> {
  checkCacheMounts(check);
  checkDownloads(check);
  checkFileLists(check);
  await checkRepositories(check);
}

function checkCacheMounts(check: Checking): void {
  const { dir } = check.store;
  if (!existsSync(paths.cacheMountsDir(dir))) return;
  for (const name of cacheMountNames(dir)) {
    if (!existsSync(paths.cacheMountRoot(dir, name))) {
      addCache(check, 'cache mount', name, paths.cacheMountDir(dir, name), 'its files are missing');
    } else if (readCacheMountRecord(dir, name) === null && existsSync(paths.cacheMountDir(dir, name))) {
      const isThere = existsSync(paths.cacheMountRecord(dir, name));
      check.add({
        severity: isThere ? 'problem' : 'leftover',
        code: isThere ? 'DAMAGED' : 'MISSING',
        kind: 'cache mount',
        object: name,
        path: `cache/mounts/${name}/mount.json`,
        message: `what it is for is ${isThere ? 'damaged' : 'not written down'}`,
        neededBy: [],
        remedy: 'its next use writes it again',
        repair: () => {
          rmSync(paths.cacheMountRecord(dir, name), { force: true });
          return repaired('its next use writes it again');
        },
      });
    }
  }
}

function checkDownloads(check: Checking): void {
  const downloads = join(check.store.dir, 'cache', 'downloads');
  for (const name of namesIn(join(downloads, 'body'))) {
    const path = join(downloads, 'body', name);
    if (!check.readsData(`sha256:${name}`)) continue;
    check.reads.push({
      path,
      done: (digest, trouble) => {
        if (digest === 'gone' || digest === name) return;
        addCache(check, 'download', name, path, trouble ?? `its bytes hash to ${digest}`);
      },
    });
  }
  for (const name of namesIn(join(downloads, 'url'))) {
    const path = join(downloads, 'url', name);
    if (!isJson(path) && existsSync(path)) addCache(check, 'download', name, path, 'it can not be read');
  }
}

/** Lists of steps that the history does not know any more. */
function checkFileLists(check: Checking): void {
  const { dir, database } = check.store;
  for (const key of namesIn(paths.inputsDir(dir))) {
    const path = join(paths.inputsDir(dir), key);
    if (database.history.hasStep(key) || Date.now() - (writtenMs(path) ?? Date.now()) < 60_000) continue;
    check.add({
      severity: 'leftover',
      code: 'ORPHANED',
      kind: 'file list',
      object: key,
      path: `cache/inputs/${key}`,
      message: 'of a step that the history does not know',
      neededBy: [],
      remedy: "'tsbuild fsck --repair' removes it",
      repair: () => {
        rmSync(path, { force: true });
        return repaired('removed');
      },
    });
  }
}

/** One that is in use is left alone. */
async function checkRepositories(check: Checking): Promise<void> {
  const parent = join(check.store.dir, 'cache', 'git');
  for (const name of namesIn(parent).filter((each) => /^[0-9a-f]{32}$/.test(each))) {
    const dir = join(parent, name);
    const lock = existsSync(`${dir}.lock`) ? await lockFile(`${dir}.lock`, 'exclusive', false) : undefined;
    if (lock === null) continue;
    try {
      const trouble = await repositoryTrouble(dir, check.readsData(`sha256:${name}`));
      if (trouble !== null && existsSync(dir)) addCache(check, 'git cache', name, dir, trouble);
    } finally {
      lock?.close();
    }
  }
}

async function repositoryTrouble(dir: string, readData: boolean): Promise<string | null> {
  const missing = ['HEAD', 'config', 'objects', 'refs'].find((part) => !existsSync(join(dir, part)));
  if (missing !== undefined) return `${missing} is missing`;
  if (!readData) return null;
  try {
    await promisify(execFile)('git', ['--git-dir', dir, 'fsck', '--no-dangling', '--no-progress']);
    return null;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null; // no git, no builds from it
    const { stderr = '', message } = error as Error & { readonly stderr?: string };
    return `git fsck: ${(stderr.trim() || message).split('\n')[0]!.slice(0, 200)}`;
  }
}

function addCache(check: Checking, kind: Problem['kind'], object: string, path: string, message: string): void {
  const { dir } = check.store;
  check.add({
    severity: 'problem',
    code: 'DAMAGED',
    kind,
    object,
    path: path.slice(dir.length + 1),
    message,
    neededBy: [],
    remedy: "'tsbuild fsck --repair' puts it into quarantine: it is made or fetched again when it is needed",
    repair: async () => {
      const lock =
        kind === 'download'
          ? undefined
          : await lockFile(kind === 'git cache' ? `${path}.lock` : join(path, 'lock'), 'exclusive', false);
      if (lock === null) return failed('it is in use');
      try {
        moveToQuarantine(dir, path, { kind, object, reason: message, neededBy: [] });
      } finally {
        lock?.close();
      }
      return quarantined('now in quarantine/');
    },
  });
}

function isJson(path: string): boolean {
  try {
    JSON.parse(readFileSync(path, 'utf8'));
    return true;
  } catch {
    return false;
  }
}

function writtenMs(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir).sort();
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []; // nothing was kept yet
    throw error;
  }
}
