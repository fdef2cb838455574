// StepSpec → the bytes that launcher/spec.c reads. The format is described there.
import { SystemError } from './errors.js';
import type { HeldLayers } from './keeper.js';
import { type RawPath, rawPath } from './raw-path.js';
import type { LayerMount, StepLimit, StepMount, StepSpec, StepStack } from './types.js';

/** OverlayFS stacks 500 directories at most; two are kept for mount points that no layer has. */
const MAX_LAYERS = 498;

/**
 * @throws SystemError LAUNCH_LAYERS with more layers than a mount can have
 * @throws Error when a string holds NUL or a mount target is not a clean absolute path: bugs of the caller
 */
export function encodeStep(spec: StepSpec, held?: HeldLayers): Buffer {
  const records: Buffer[] = [
    record('D', [spec.scratchDir]),
    record('W', [spec.cwd]),
    record('H', [spec.hostname]),
    record('N', [spec.network]),
    record('U', [spec.uid, spec.gid]),
    record('S', [spec.shmSizeBytes]),
    record('P', [spec.confined ? 0 : 1]),
    ...stackable(spec.layers).map((layer) => encodeLayer(layer, held)),
    ...(held ? [record('K', [held.pid])] : []),
    ...spec.stacks.flatMap((stack) => encodeStack(stack, held)),
    ...spec.mounts.map(encodeMount),
    ...spec.args.map((arg) => record('A', [arg])),
    ...spec.env.map((entry) => record('E', [entry])),
    ...spec.groups.map((gid) => record('G', [gid])),
    ...spec.cgroups.map((dir) => record('C', [dir])),
    ...spec.limits.map(({ name, soft, hard }) => record('R', [name, limitText(soft), limitText(hard)])),
  ];
  const length = records.reduce((sum, bytes) => sum + bytes.length, 0);
  return Buffer.concat([number32(length), ...records]);
}

/** @throws SystemError LAUNCH_LAYERS */
function stackable(given: readonly LayerMount[]): LayerMount[] {
  const layers = withoutRepeats(given);
  if (layers.length <= MAX_LAYERS) return layers;
  throw new SystemError('LAUNCH_LAYERS', {
    message: `a step can stand on ${MAX_LAYERS} layers, this one has ${layers.length}`,
    hint: 'join instructions, so that the image has fewer layers',
  });
}

/** A record that begins a stack, and those of what it consists of. */
function encodeStack({ layers, hidden, scratchDir }: StepStack, held: HeldLayers | undefined): Buffer[] {
  return [
    record('T', [scratchDir ?? '']),
    ...stackable(layers).map((layer) => encodeLayer(layer, held)),
    ...hidden.map((path) => record('X', [{ raw: path }])),
  ];
}

/**
 * OverlayFS refuses a directory twice in one stack, but images repeat layers (the empty one for instance). Whatever the
 * lower occurrence says, the upper one says again.
 */
function withoutRepeats(layers: readonly LayerMount[]): LayerMount[] {
  const topmost = new Map(layers.map((layer, i) => [layerPath(layer), i]));
  return layers.filter((layer, i) => topmost.get(layerPath(layer)) === i);
}

function layerPath(layer: LayerMount): string {
  return layer.kind === 'index' ? layer.index : layer.dir;
}

function encodeLayer(layer: LayerMount, held: HeldLayers | undefined): Buffer {
  if (layer.kind === 'tree') return record('L', ['tree', layer.dir, layer.ownerIsRoot ? 1 : 0]);
  const descriptor = held?.descriptors.get(layer.index);
  return record('L', ['index', layer.index, layer.tar, ...(descriptor === undefined ? [] : [descriptor])]);
}

function encodeMount(mount: StepMount): Buffer {
  requireCleanTarget(mount.target);
  switch (mount.kind) {
    case 'bind':
      return record('M', [
        'bind',
        mount.target,
        mount.root,
        { raw: mount.path },
        mount.readonly ? 1 : 0,
        mount.ownerIsRoot ? 1 : 0,
      ]);
    case 'stack':
      return record('M', ['stack', mount.target, mount.stack, { raw: mount.path }]);
    case 'socket':
      return record('M', ['socket', mount.target, mount.path, mount.mode, mount.uid, mount.gid]);
    case 'tmpfs':
      return record('M', ['tmpfs', mount.target, mount.sizeBytes ?? 0, mount.readonly ? 1 : 0]);
    case 'bytes':
      return record('M', ['bytes', mount.target, mount.mode, mount.uid, mount.gid], mount.bytes);
  }
}

function requireCleanTarget(target: string): void {
  const parts = target.split('/').slice(1);
  const clean = target.startsWith('/') && parts.every((part) => part !== '' && part !== '.' && part !== '..');
  if (!clean)
    throw new Error(`a mount target must be an absolute path without . and .., not ${JSON.stringify(target)}`);
}

type Field = string | number | { readonly raw: RawPath };

function record(tag: string, fields: readonly Field[], rest?: Uint8Array): Buffer {
  const text = Buffer.from(fields.map((field) => `${fieldText(field)}\0`).join(''), 'latin1');
  const bytes = rest ?? new Uint8Array();
  return Buffer.concat([Buffer.from(tag), number32(text.length + bytes.length), text, bytes]);
}

function fieldText(field: Field): string {
  if (typeof field === 'number') return decimal(field);
  const text = typeof field === 'string' ? rawPath(field) : field.raw;
  if (text.includes('\0')) throw new Error(`NUL in ${JSON.stringify(text)}`);
  return text;
}

/** As setrlimit(2) has it: the largest number is no limit. */
function limitText(limit: StepLimit['soft']): string {
  return limit === 'unlimited' ? '18446744073709551615' : decimal(limit);
}

function decimal(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`not a size or an id: ${value}`);
  return String(value);
}

function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
