// What a person types in: lines of a terminal, or all of standard input.
import { constants } from 'node:os';

/** Standard input without its last line's end. */
export async function readStandardInput(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  return text.replace(/\r?\n$/, '');
}

/** One line of the terminal. 'hidden': nobody sees what is typed. Ctrl-C ends as everywhere, Ctrl-D is an empty line. */
export function askTerminal(question: string, echo: 'shown' | 'hidden'): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write(question);
  stdin.setRawMode(true);
  stdin.setEncoding('utf8').resume();
  return new Promise((resolve) => {
    let text = '';
    const end = (): void => {
      stdin.off('data', take);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write('\n');
    };
    const take = (typed: string): void => {
      for (const char of typed) {
        if (char === '\r' || char === '\n' || char === '\u0004') {
          end();
          resolve(text);
          return;
        }
        if (char === '\u0003') {
          end();
          process.exit(128 + constants.signals.SIGINT);
        }
        const erased = char === '\u007f' || char === '\b';
        if (!erased && char < ' ') continue;
        if (echo === 'shown') stderr.write(erased ? (text === '' ? '' : '\b \b') : char);
        text = erased ? [...text].slice(0, -1).join('') : text + char;
      }
    };
    stdin.on('data', take);
  });
}
