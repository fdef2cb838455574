import { BuildError, parseDuration } from '../base/index.js';
import { fail, type InstructionText } from './instruction-text.js';
import { parseStringArray } from './json-array.js';
import type { HealthcheckInstruction } from './types.js';
import { restOfLine } from './words.js';

/** Docker's engine knows no shorter time. */
const minimumNs = 1_000_000;

/** @throws BuildError ARGUMENTS_INVALID, FLAG_INVALID */
export function parseHealthcheck(text: InstructionText): HealthcheckInstruction {
  const test = parseTest(text);
  const common = { at: text.at, source: text.source, keyword: 'HEALTHCHECK', test } as const;
  // BuildKit doesn't even look at the flags of NONE.
  if (test[0] === 'NONE') {
    return { ...common, intervalNs: 0, timeoutNs: 0, startPeriodNs: 0, startIntervalNs: 0, retries: 0 };
  }
  return {
    ...common,
    intervalNs: duration(text, 'interval'),
    timeoutNs: duration(text, 'timeout'),
    startPeriodNs: duration(text, 'start-period'),
    startIntervalNs: duration(text, 'start-interval'),
    retries: retries(text),
  };
}

function parseTest(text: InstructionText): string[] {
  const rest = restOfLine(text.line, text.rest);
  const type = /^\S+/.exec(rest?.text ?? '')?.[0] ?? '';
  const command = rest ? restOfLine(text.line, rest.start + type.length) : null;
  if (type.toUpperCase() === 'NONE') return command ? fail(text, 'HEALTHCHECK NONE takes no arguments') : ['NONE'];
  if (!rest || type.toUpperCase() !== 'CMD') return fail(text, 'HEALTHCHECK needs CMD and a command, or NONE');
  if (!command) return fail(text, 'HEALTHCHECK CMD needs a command');
  const array = parseStringArray(text.line.text, command.start);
  if (array.kind === 'none') return ['CMD-SHELL', command.text];
  if (array.kind === 'not-strings') return fail(text, 'the JSON array of HEALTHCHECK may only hold strings');
  if (array.items.length === 0) return fail(text, 'HEALTHCHECK CMD needs a command');
  return ['CMD', ...array.items.map((item) => item.text)];
}

function duration(text: InstructionText, name: string): number {
  const flag = text.flags.value(name);
  if (!flag || flag.text === '') return 0;
  const ns = parseDuration(flag.text);
  if (ns === null || (ns !== 0 && ns < minimumNs)) {
    throw new BuildError('FLAG_INVALID', {
      message: `--${name} is a time of at least 1ms, not ${JSON.stringify(flag.text)}`,
      hint: `write it with its unit, as in --${name}=1m30s`,
      at: flag.at,
    });
  }
  return ns;
}

function retries(text: InstructionText): number {
  const flag = text.flags.value('retries');
  if (!flag || flag.text === '') return 0;
  const count = Number(flag.text);
  if (!/^\+?\d+$/.test(flag.text) || count > 0x7fffffff) {
    throw new BuildError('FLAG_INVALID', {
      message: `--retries is a number that is not negative, not ${JSON.stringify(flag.text)}`,
      at: flag.at,
    });
  }
  return count;
}
