export { formatPlatform, normalPlatform } from '#store';
export { type Emulator, findEmulator } from './binfmt.js';
export { type ElfFacts, elfHeadBytes, readElf } from './elf.js';
export { type ElfDynamic, type ReadRange, readDynamic } from './elf-dynamic.js';
export { canExecuteHere, type Executability } from './execute-here.js';
export { type FilesPlatform, filesPlatform, requireHonestPlatform } from './honest-platform.js';
export {
  type ForeignExecutable,
  foreignExecutables,
  foreignInLayer,
  type LayerRecord,
  layerRecord,
  recordLayer,
  tarHeads,
} from './layer-record.js';
export { elfPlatform, machineName } from './machine.js';
export { hostPlatform, parsePlatform, requirePlatform, samePlatform } from './platform.js';
export type { Command } from './refusal.js';
export { requireRunnable } from './runnable.js';
export { readShebang, type Shebang } from './shebang.js';
