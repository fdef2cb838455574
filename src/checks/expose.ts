// ExposeProtoCasing, ExposeInvalidFormat.
import type { Span } from '../base/index.js';
import { expandWords } from '../buildfile/index.js';
import type { PlanStep } from '../graph/index.js';
import { type Found, placeOf, type Subject } from './finding.js';
import { attempt } from './recorded.js';

export function* exposeProtoCasing(step: PlanStep, subject: Subject): Iterable<Found> {
  for (const { text, at } of portsOf(step, subject)) {
    const protocol = text.slice(text.lastIndexOf(':') + 1).split('/', 2)[1] ?? '';
    if (protocol === protocol.toLowerCase()) continue;
    yield {
      rule: 'ExposeProtoCasing',
      message: `Defined protocol '${text}' in EXPOSE instruction should be lowercase`,
      at: placeOf(step, at),
      instruction: step.instruction,
      hint: `write ${text.toLowerCase()}`,
    };
  }
}

export function* exposeInvalidFormat(step: PlanStep, subject: Subject): Iterable<Found> {
  for (const { text, at } of portsOf(step, subject)) {
    const port = text.slice(text.lastIndexOf(':') + 1);
    if (port === text || text.slice(0, -port.length - 1) === '') continue;
    yield {
      rule: 'ExposeInvalidFormat',
      message: `EXPOSE instruction should not define an IP address or host-port mapping, found '${text}'`,
      at: placeOf(step, at),
      instruction: step.instruction,
      hint: `write EXPOSE ${port}; which address and port of a host lead there is said when a container is started`,
    };
  }
}

function* portsOf({ instruction, env }: PlanStep, { file }: Subject): Iterable<{ text: string; at: Span }> {
  if (instruction.keyword !== 'EXPOSE') return;
  for (const { text, at } of instruction.words) {
    const words = attempt(() => expandWords(text, (name) => env.get(name), { escapeChar: file.escapeChar })) ?? [];
    for (const word of words) yield { text: word, at };
  }
}
