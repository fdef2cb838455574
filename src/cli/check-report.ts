// What --call=check prints, in the forms of docker buildx.
import { lineCount, lineText, printable, type SourceFile, type Span } from '../base/index.js';
import type { CheckReport } from '../build/index.js';
import { type Finding, rules } from '../checks/index.js';
import { encode, linesOf, Sources } from './source-lines.js';

export function checkText({ findings, error }: CheckReport): string {
  if (findings.length === 0) return error === null ? 'Check complete, no warnings found.\n' : '';
  const count = findings.length === 1 ? '1 warning has been found!' : `${findings.length} warnings have been found!`;
  return `Check complete, ${count}\n${findings.map(findingText).join('')}`;
}

function findingText({ rule, message, at, of, hint }: Finding): string {
  const { url } = rules[rule];
  return `\nWARNING: ${rule}${url === '' ? '' : ` - ${url}`}\n${printable(message)}\n${excerpt(at.file, of)}help: ${printable(hint)}\n`;
}

const rule = '--------------------';

/** The lines that are meant, marked, and some around them: together about five. */
function excerpt(file: SourceFile, of: Span): string {
  const { first, last } = linesOf(of);
  const lines = lineCount(file);
  let [start, end] = [first, Math.min(last, lines)];
  const wanted = start === end ? 4 : 2;
  for (let shown = 0; shown < wanted; shown++) {
    if (start > 1) {
      start--;
      shown++;
    }
    if (end < lines) {
      end++;
      shown++;
    }
  }
  const shown = Array.from({ length: end - start + 1 }, (_, i) => {
    const line = start + i;
    const mark = first <= line && line <= last ? '>>>' : '   ';
    return ` ${String(line).padStart(3)} | ${mark} ${printable(lineText(file, line))}\n`;
  });
  return `${printable(file.name)}:${first}\n${rule}\n${shown.join('')}${rule}\n`;
}

/** @param main the file that was checked */
export function checkJson(main: SourceFile, { findings, error }: CheckReport): object {
  const sources = new Sources(main);
  const warnings = findings.map(({ rule: ruleName, message: detail, of }) => {
    const { description, url } = rules[ruleName];
    return { ruleName, description, ...(url !== '' && { url }), detail, location: sources.locate(of) };
  });
  const buildError = error && {
    message: error.message,
    location: error.at === undefined ? { ranges: [] } : sources.locate(error.at),
  };
  return {
    warnings,
    sources: sources.files.map((file) => ({ filename: file.name, language: 'Dockerfile', data: encode(file) })),
    ...(buildError && { buildError }),
  };
}
