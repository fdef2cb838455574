// The command of RUN, CMD and ENTRYPOINT: a JSON array to execute, or text for a shell.
import { fail, type InstructionText } from './instruction-text.js';
import { parseStringArray } from './json-array.js';
import type { CommandLine } from './types.js';
import { restOfLine } from './words.js';

/** @throws BuildError ARGUMENTS_INVALID */
export function parseCommandLine(text: InstructionText): CommandLine {
  const { line, keyword } = text;
  const array = parseStringArray(line.text, text.rest);
  if (array.kind === 'not-strings') return fail(text, `the JSON array of ${keyword} may only hold strings`);
  if (array.kind === 'array') {
    if (array.items.length === 0 && keyword === 'RUN') return fail(text, 'RUN needs a command');
    return { form: 'exec', args: array.items.map((item) => item.text) };
  }
  const command = restOfLine(line, text.rest);
  if (!command) {
    return fail(text, `${keyword} needs a command`, keyword === 'RUN' ? undefined : `write ${keyword} [] to have none`);
  }
  const own = line.heredocs.filter(({ opener }) => opener.start >= text.rest);
  const whole = own.find(
    ({ opener }) => opener.start === command.start && opener.end === command.start + command.text.length,
  );
  return {
    form: 'shell',
    text: command.text,
    heredocs: own.map(({ heredoc }) => heredoc),
    script: whole?.heredoc ?? null,
  };
}
