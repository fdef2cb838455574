// The one door to dockerfile-ast. What it is given is masked so that it can only be right, but its own recursion is no
// promise of ours: if it gives up, that is an error with a place, not a crash.
import { type Dockerfile, DockerfileParser } from 'dockerfile-ast';
import { BuildError, type Span } from '../base/index.js';

/** @param at the piece of the Buildfile that `text` stands for */
export function parseAst(text: string, at: Span): Dockerfile {
  try {
    return DockerfileParser.parse(text);
  } catch (cause) {
    throw new BuildError('SYNTAX_UNREADABLE', { message: 'this can not be parsed', at, cause });
  }
}
