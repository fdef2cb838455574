import { Option } from 'commander';
import { parsePlatform } from '../platform/index.js';

/** --platform of commands that are about one image of an index. */
export function platformOption(): Option {
  const option = new Option('--platform <os/arch[/variant]>', "which image of an index (default: this machine's)");
  return option.argParser((text) => parsePlatform(text));
}
