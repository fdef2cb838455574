// What comments above FROM and ARG say of stages and arguments: '# NAME what it is'. And InvalidDefinitionDescription,
// which tells of comments that stand there and say something else.
import type { Buildfile, Word } from '../buildfile/index.js';
import type { AnyInstruction, Found, Subject } from './finding.js';

/** What the comments above `instruction` say of `name`; '' if nothing. */
export function descriptionOf({ comments }: Buildfile, instruction: AnyInstruction, name: string): string {
  const lead = `${name} `;
  const comment = comments.get(instruction)?.find(({ text }) => text.startsWith(lead));
  return comment?.text.slice(lead.length) ?? '';
}

export function* invalidDefinitionDescription({ file }: Subject): Iterable<Found> {
  for (const [instruction, comments] of file.comments) {
    const names = definedBy(instruction);
    const last = comments.filter(({ text }) => !isCheckComment(text)).at(-1);
    const [first] = names;
    if (first === undefined || last === undefined || names.includes(last.text.split(' ', 1)[0]!)) continue;
    if (!isRightAbove(last, instruction)) continue;
    const form = `# ${names.length > 1 ? '<arg_key>' : first} <description>`;
    yield {
      rule: 'InvalidDefinitionDescription',
      message: `Comment for ${instruction.keyword} should follow the format: \`${form}\``,
      at: last.at,
      instruction,
      hint: 'if it is no description, put an empty line between the comment and the instruction',
    };
  }
}

/** As the rule's page says; BuildKit itself passes over empty lines. */
function isRightAbove({ at }: Word, instruction: AnyInstruction): boolean {
  return !/\n[ \t\r]*\n/.test(at.file.text.slice(at.end, instruction.at.start));
}

function definedBy(instruction: AnyInstruction): readonly string[] {
  if (instruction.keyword === 'FROM') return instruction.name === null ? [] : [instruction.name];
  return instruction.keyword === 'ARG' ? instruction.args.map(({ name }) => name) : [];
}

/** '# check=…' above an instruction is for the checks. */
export function isCheckComment(text: string): boolean {
  return /^check\s*=/i.test(text);
}
