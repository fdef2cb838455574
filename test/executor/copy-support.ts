// COPY and ADD against real directories: what a context holds, one instruction, and the entries that it makes.
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { displayPath } from '#native';
import type { DraftEntry, RootView } from '#store';
import { ignoreMatcher, type Span } from '../../src/base/index.js';
import { openContext } from '../../src/context/index.js';
import { type CopyPlan, contextSource, planCopy, viewSource } from '../../src/executor/index.js';
import type { CopyVertex } from '../../src/graph/index.js';
import { memoryView } from './memory-view.js';

export const made = { mtimeSec: 1_700_000_000, mtimeNsec: 0 };

/** A file's text, or what else is there. */
export type Tree = Readonly<
  Record<string, string | { dir: number } | { link: string } | { hardlink: string } | { text: string; mode: number }>
>;

export function makeTree(tree: Tree): string {
  const root = mkdtempSync(join(tmpdir(), 'copy-'));
  for (const [path, what] of Object.entries(tree)) {
    const full = join(root, path);
    mkdirSync(dirname(full), { recursive: true });
    if (typeof what === 'string') writeFileSync(full, what);
    else if ('dir' in what) mkdirSync(full, { recursive: true });
    else if ('link' in what) symlinkSync(what.link, full);
    else if ('hardlink' in what) linkSync(join(root, what.hardlink), full);
    else writeFileSync(full, what.text);
    if (typeof what === 'string') chmodSync(full, 0o644);
    else if ('dir' in what) chmodSync(full, what.dir);
    else if ('mode' in what) chmodSync(full, what.mode);
  }
  for (const [path, what] of Object.entries(tree)) {
    if (typeof what === 'string' || 'text' in what || 'dir' in what)
      utimesSync(join(root, path), 1_500_000_000, 1_500_000_000);
  }
  return root;
}

export function removeTree(root: string): void {
  rmSync(root, { recursive: true, force: true });
}

/** `COPY --flag=value source… dest` as the planner would hand it over. */
export function copyVertex(line: string, more: Partial<CopyVertex> = {}): CopyVertex {
  const [instruction, ...words] = line.split(' ') as [CopyVertex['instruction'], ...string[]];
  const flags = words.filter((word) => word.startsWith('--'));
  const paths = words.filter((word) => !word.startsWith('--'));
  const flag = (name: string): string | null =>
    flags.find((word) => word.startsWith(`--${name}=`))?.slice(name.length + 3) ?? null;
  const at = (text: string): Span => ({
    file: { name: 'Buildfile', text: line },
    start: line.indexOf(text),
    end: line.indexOf(text) + text.length,
  });
  return {
    kind: 'copy',
    epochSec: null,
    id: 1,
    name: line,
    at: at(line),
    platform: { os: 'linux', architecture: 'amd64' },
    instruction,
    parent: 0,
    from: { kind: 'context', name: null },
    sources: paths.slice(0, -1).map((pattern) => ({ pattern, at: at(pattern), remote: null })),
    inline: [],
    dest: paths.at(-1) ?? '/',
    chown: flag('chown'),
    chmod: flag('chmod'),
    unpack: null,
    exclude: flags.flatMap((word) => (word.startsWith('--exclude=') ? word.slice(10) : [])),
    parents: flags.includes('--parents'),
    link: flags.includes('--link'),
    ...more,
  };
}

export interface PlanOptions {
  readonly view?: RootView;
  readonly ignore?: string;
  readonly vertex?: Partial<CopyVertex>;
  readonly statCacheFile?: string;
}

export async function planFromContext(root: string, line: string, options: PlanOptions = {}): Promise<CopyPlan> {
  const ignore = options.ignore === undefined ? null : ignoreMatcher(options.ignore);
  const context = await openContext(root, { ignore, statCacheFile: options.statCacheFile ?? null });
  return plan(contextSource(context, 'the build context'), line, options);
}

export async function planFromView(from: RootView, line: string, options: PlanOptions = {}): Promise<CopyPlan> {
  return plan(viewSource(from, 'stage build'), line, options);
}

async function plan(
  source: Parameters<typeof planCopy>[1]['source'],
  line: string,
  options: PlanOptions,
): Promise<CopyPlan> {
  let temp: string | undefined;
  const tempPath = (name: string): string => {
    temp ??= mkdtempSync(join(tmpdir(), 'copy-temp-'));
    temps.push(temp);
    return join(temp, `${name}-${count++}`);
  };
  let count = 0;
  return planCopy(copyVertex(line, options.vertex), {
    source,
    remote: ({ kind }) => Promise.reject(new Error(`a ${kind} from elsewhere`)),
    view: options.view ?? memoryView({}),
    made,
    tempPath,
  });
}

const temps: string[] = [];

export function removeTemps(): void {
  for (const temp of temps.splice(0)) removeTree(temp);
}

/** 'app/ 755 0:0', 'app/run 755 0:0 (5)', 'link -> target', 'b => a' for hardlinks. */
export function show(drafts: readonly DraftEntry[]): string[] {
  return drafts.map((draft) => {
    const path = displayPath(draft.path);
    const owner = `${draft.mode.toString(8)} ${draft.uid}:${draft.gid}`;
    if (draft.type === 'dir') return `${path}/ ${owner}`;
    if (draft.type === 'symlink') return `${path} -> ${displayPath(draft.linkTarget)}`;
    if (draft.type === 'hardlink') return `${path} => ${displayPath(draft.linkTarget)}`;
    return draft.type === 'file' ? `${path} ${owner} (${draft.size})` : `${path} ${draft.type} ${owner}`;
  });
}

export async function copied(root: string, line: string, options: PlanOptions = {}): Promise<string[]> {
  return show(await (await planFromContext(root, line, options)).drafts());
}
