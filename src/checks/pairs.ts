// LegacyKeyValueFormat, SecretsUsedInArgOrEnv.
import type { Span } from '../base/index.js';
import type { PlanStep } from '../graph/index.js';
import { type Found, placeOf, written } from './finding.js';

export function* legacyKeyValueFormat(step: PlanStep): Iterable<Found> {
  const { instruction } = step;
  if ((instruction.keyword !== 'ENV' && instruction.keyword !== 'LABEL') || !instruction.oldForm) return;
  const keyword = written(instruction);
  const { name, value } = instruction.pairs[0]!;
  yield {
    rule: 'LegacyKeyValueFormat',
    message: `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`,
    at: placeOf(step, { ...name.at, end: value.at.end }),
    instruction,
    hint: `write ${keyword} ${name.text}=${quoted(value.text)}`,
  };
}

function quoted(value: string): string {
  if (value.length > 100) return '"…"';
  return /[\s"'\\]/.test(value) ? `"${value.replace(/["\\]/g, '\\$&')}"` : value;
}

/** The whole name, or its first or last word. */
const secret = /(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)/i;
const harmless = /(?:_|^)(?:public|file|version)(?:_|$)/i;

export function* secretsUsed(step: PlanStep): Iterable<Found> {
  const { instruction } = step;
  if (instruction.keyword !== 'ARG' && instruction.keyword !== 'ENV') return;
  for (const { name, at } of namesOf(instruction)) {
    if (!secret.test(name) || harmless.test(name)) continue;
    yield {
      rule: 'SecretsUsedInArgOrEnv',
      message: `Do not use ARG or ENV instructions for sensitive data (${instruction.keyword} ${JSON.stringify(name)})`,
      at: placeOf(step, at),
      instruction,
      hint: `its value stays in the image for all to read: use RUN --mount=type=secret,id=${name.toLowerCase()},env=${name}`,
    };
  }
}

function namesOf(
  instruction: Extract<PlanStep['instruction'], { keyword: 'ARG' | 'ENV' | 'LABEL' }>,
): readonly { name: string; at: Span }[] {
  if (instruction.keyword !== 'ARG') return instruction.pairs.map(({ name }) => ({ name: name.text, at: name.at }));
  return instruction.args.map(({ name, at }) => ({ name, at: { ...at, end: at.start + name.length } }));
}
