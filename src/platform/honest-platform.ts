// A config says what an image is for; its files know.
import { formatPlatform, normalPlatform, type Platform, type StoredImage } from '#store';
import { BuildError, type Span } from '../base/index.js';
import { isCompatible } from './execute-here.js';
import { type LayerRecord, recordLayer } from './layer-record.js';

/**
 * Refuses an image most of whose programs are for another architecture than its config declares. Images without
 * programs, and programs of an ABI that the architecture also runs (i386 in an amd64 image), pass.
 *
 * @throws BuildError ARCH_CONFIG_LIES
 */
export function requireHonestPlatform(image: Pick<StoredImage, 'config' | 'layers'>, ref: string, at?: Span): void {
  const { os, architecture, variant } = image.config;
  const declared = normalPlatform({ os, architecture, ...(variant !== undefined && { variant }) });
  const found = filesPlatform(image.layers.map((layer) => recordLayer(layer)));
  if (found === null || isCompatible(found.architecture, declared.architecture)) return;
  const [files, says] = [formatPlatform(found), formatPlatform(declared)];
  throw new BuildError('ARCH_CONFIG_LIES', {
    message: `${ref} says that it is ${says}, but its programs are for ${files} (such as ${found.example})`,
    hint: `whoever made ${ref} mislabelled it: take a correct image, or rebuild that one for ${says}`,
    at,
  });
}

export interface FilesPlatform extends Platform {
  /** A program of that platform, '/bin/busybox'. */
  readonly example: string;
  /** Share of the programs that are for it, 0 to 1. */
  readonly share: number;
}

/** What most programs in a stack of layers are for; going by the libraries where there are none; null without ELF files. */
export function filesPlatform(records: readonly LayerRecord[]): FilesPlatform | null {
  const machines = records.flatMap((record) => Object.values(record.machines));
  const withPrograms = machines.filter((machine) => machine.programs > 0);
  const byPrograms = withPrograms.length > 0;
  const counts = new Map<string, { platform: Platform; count: number; example: string }>();
  let total = 0;
  for (const machine of byPrograms ? withPrograms : machines) {
    const key = `${machine.os}/${machine.architecture}`;
    const count = byPrograms ? machine.programs : machine.libraries;
    const { os, architecture, variant } = machine;
    const platform = { os, architecture, ...(variant !== undefined && { variant }) };
    const known = counts.get(key) ?? { platform, count: 0, example: exampleOf(machine.paths) };
    counts.set(key, { ...known, count: known.count + count });
    total += count;
  }
  const [most] = [...counts.values()].sort((a, b) => b.count - a.count);
  return most === undefined ? null : { ...most.platform, example: most.example, share: most.count / total };
}

function exampleOf(paths: readonly string[]): string {
  return `/${paths.find((path) => /(^|\/)s?bin\//.test(path)) ?? paths[0] ?? ''}`;
}
