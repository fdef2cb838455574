// What a layer's executables need, kept beside the layer as machines.json: derived from its bytes, so it can be deleted
// at any time, and a torn one (a file that doesn't parse) is derived again.
import { closeSync, openSync, readFileSync, readSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { displayPath, type RawPath } from '#native';
import { type Layer, type Platform, scanTar } from '#store';
import { type ElfFacts, elfHeadBytes, isElf, readElf } from './elf.js';
import { isCompatible } from './execute-here.js';
import { elfArchitecture, elfPlatform, machineName } from './machine.js';
import { isScript, readShebang } from './shebang.js';

export interface LayerRecord {
  readonly version: 1;
  /** ELF programs and libraries by the name of their machine. */
  readonly machines: Readonly<Record<string, MachineRecord>>;
  /** How many files name each loader ('/lib64/ld-linux-x86-64.so.2') or script interpreter ('#!/bin/sh'). */
  readonly interpreters: Readonly<Record<string, number>>;
}

export interface MachineRecord {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly programs: number;
  readonly libraries: number;
  /** A few of them as examples, programs first. */
  readonly paths: readonly string[];
  /** Highest x86-64 ISA level and newest kernel that any of them declares to need. */
  readonly isaLevel: number;
  readonly kernel: string | null;
}

/** The record of a layer: the one beside it, or made now from `heads` (what a commit saw) or from the tar. */
export function recordLayer(layer: Layer, heads?: ReadonlyMap<RawPath, Buffer>): LayerRecord {
  const path = join(dirname(layer.tarPath), 'machines.json');
  const known = readRecord(path);
  if (known !== null) return known;
  const record = layerRecord(heads ?? tarHeads(layer.tarPath));
  keepRecord(path, record);
  return record;
}

/** Summary of the files whose first bytes are given. */
export function layerRecord(heads: Iterable<readonly [RawPath, Buffer]>): LayerRecord {
  const machines = new Map<string, Tally>();
  const interpreters = new Map<string, number>();
  for (const [path, head] of heads) {
    const facts = readElf(head);
    if (facts !== null && isForProcessors(facts)) addTo(machines, path, facts);
    const shebang = facts === null ? readShebang(head) : null;
    const interpreter = shebang ? `#!${shebang.interpreter}` : facts?.interpreter;
    if (interpreter) interpreters.set(interpreter, (interpreters.get(interpreter) ?? 0) + 1);
  }
  const tallies = [...machines].map(([name, tally]) => [name, toRecord(tally)] as const);
  return { version: 1, machines: Object.fromEntries(tallies), interpreters: Object.fromEntries(interpreters) };
}

export interface ForeignExecutable {
  readonly path: RawPath;
  readonly machine: string;
  /** False for what only looks like a library. */
  readonly program: boolean;
}

/** The ELF programs and libraries among `heads` that `platform` can't run, not even as a compatible ABI, in order of path. */
export function foreignExecutables(
  heads: Iterable<readonly [RawPath, Buffer]>,
  platform: Platform,
): ForeignExecutable[] {
  const found: ForeignExecutable[] = [];
  for (const [path, head] of heads) {
    const facts = readElf(head);
    if (facts === null || !isForProcessors(facts) || /^(usr\/)?lib\/firmware\//.test(path)) continue;
    const fits = fitsPlatform({ os: elfPlatform(facts).os, architecture: elfArchitecture(facts) }, platform);
    if (!fits) found.push({ path, machine: machineName(facts), program: isProgram(facts) });
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The same of a whole layer. Its files are looked at only if its record tells of such machines. */
export function foreignInLayer(layer: Layer, platform: Platform): ForeignExecutable[] {
  const machines = Object.values(recordLayer(layer).machines);
  return machines.every((machine) => fitsPlatform(machine, platform))
    ? []
    : foreignExecutables(tarHeads(layer.tarPath), platform);
}

function fitsPlatform({ os, architecture }: Platform, platform: Platform): boolean {
  return os === platform.os && isCompatible(architecture, platform.architecture);
}

/** The first bytes of each ELF file and script in a tar. A generator, so that they need not all be held. */
export function* tarHeads(tarPath: string): Generator<readonly [RawPath, Buffer]> {
  const file = openSync(tarPath, 'r');
  try {
    const buffer = Buffer.alloc(elfHeadBytes);
    for (const entry of scanTar(tarPath)) {
      if (entry.type !== 'file' || entry.size < smallestProgram || entry.sparse) continue;
      const length = readSync(file, buffer, 0, Math.min(entry.size, elfHeadBytes), entry.dataOffset);
      const head = buffer.subarray(0, length);
      if (isElf(head) || isScript(head)) yield [entry.path, head];
    }
  } finally {
    closeSync(file);
  }
}

const smallestProgram = 20;
const exampleLimit = 8;

interface Tally {
  readonly platform: Platform;
  readonly programs: string[];
  readonly libraries: string[];
  readonly isaLevels: Set<number>;
  readonly kernels: Set<string>;
}

function toRecord({ platform, programs, libraries, isaLevels, kernels }: Tally): MachineRecord {
  return {
    ...platform,
    programs: programs.length,
    libraries: libraries.length,
    paths: [...programs, ...libraries].slice(0, exampleLimit),
    isaLevel: Math.max(0, ...isaLevels),
    kernel: [...kernels].reduce<string | null>((a, b) => (a === null || isNewer(b, a) ? b : a), null),
  };
}

function addTo(machines: Map<string, Tally>, path: RawPath, facts: ElfFacts): void {
  const name = machineName(facts);
  const known = machines.get(name);
  const tally = known ?? {
    platform: elfPlatform(facts),
    programs: [],
    libraries: [],
    isaLevels: new Set(),
    kernels: new Set(),
  };
  if (known === undefined) machines.set(name, tally);
  (isProgram(facts) ? tally.programs : tally.libraries).push(displayPath(path));
  tally.isaLevels.add(facts.isaLevel);
  if (facts.kernel !== null) tally.kernels.add(facts.kernel);
}

/** Not object files and core dumps, nor code for graphics processors (CUDA, AMDGPU) and the kernel's BPF machine. */
function isForProcessors(facts: ElfFacts): boolean {
  return (facts.type === 'executable' || facts.type === 'shared') && ![190, 224, 247].includes(facts.machine);
}

function isProgram(facts: ElfFacts): boolean {
  return facts.type === 'executable' || facts.interpreterAt !== null;
}

function isNewer(version: string, than: string): boolean {
  const [a, b] = [version.split('.').map(Number), than.split('.').map(Number)];
  const differs = a.findIndex((part, i) => part !== b[i]);
  return differs >= 0 && a[differs]! > (b[differs] ?? 0);
}

function readRecord(path: string): LayerRecord | null {
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as LayerRecord;
    return record.version === 1 ? record : null;
  } catch {
    return null; // none yet, or torn
  }
}

/** Best effort: a store that is read-only, or a layer collected meanwhile, changes nothing about the answer. */
function keepRecord(path: string, record: LayerRecord): void {
  const unfinished = `${path}.${process.pid}`;
  try {
    writeFileSync(unfinished, JSON.stringify(record));
    renameSync(unfinished, path);
  } catch {
    rmSync(unfinished, { force: true });
  }
}
