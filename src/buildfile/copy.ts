import { BuildError } from '../base/index.js';
import { fail, type InstructionText, jsonOrWords } from './instruction-text.js';
import type { CopyInstruction, Word } from './types.js';

/** @throws BuildError ARGUMENTS_INVALID */
export function parseCopy(text: InstructionText, keyword: 'COPY' | 'ADD'): CopyInstruction {
  const { flags } = text;
  const words = jsonOrWords(text);
  const inline = text.line.heredocs.filter(({ opener }) => opener.start >= text.rest).map(({ heredoc }) => heredoc);
  const dest = words.at(-1);
  if (!dest || words.length + inline.length < 2) {
    return fail(text, `${keyword} needs at least one source and a destination`);
  }
  requireDestLast(text, dest);
  return {
    at: text.at,
    source: text.source,
    keyword,
    sources: words.slice(0, -1),
    inline,
    dest,
    from: flags.value('from'),
    chown: flags.value('chown'),
    chmod: flags.value('chmod'),
    exclude: flags.values('exclude'),
    link: flags.switch('link'),
    parents: flags.switch('parents'),
    unpack: flags.switch('unpack'),
    keepGitDir: flags.switch('keep-git-dir'),
    checksum: flags.value('checksum'),
  };
}

function requireDestLast(text: InstructionText, dest: Word): void {
  const last = text.line.heredocs.at(-1)?.heredoc;
  if (!last || last.at.start < dest.at.start) return;
  throw new BuildError('ARGUMENTS_INVALID', {
    message: `${text.keyword} can not write to a heredoc: the destination comes last`,
    at: last.at,
  });
}
