// API.md of @tsbuild/store, from its compiled declarations: whatever store/index.ts exports, with what is said above it.
import { readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';

/** Folders of the store, in the order in which one meets them. */
const areas: readonly (readonly [folder: string, title: string, about: string])[] = [
  ['', 'Words', 'Digests, layers, images and errors.'],
  ['content', 'Content', 'The store itself: opening, leases, layers, blobs, the build cache, garbage, bills.'],
  ['image', 'Images', 'Configs, manifests, indexes and names.'],
  ['format', 'Formats', 'Tars, EROFS indexes, and looking into layers without mounting them.'],
  ['transport', 'Transport', 'Registries, archives, layouts, other stores.'],
  ['copy', 'Copies', 'Images between any two places.'],
  ['serve', 'Serving', 'The store as a registry.'],
  ['fsck', 'Checking', 'Whether everything is as its digest says, and repair.'],
];

interface Declared {
  readonly name: string;
  readonly file: string;
  readonly comment: string;
  readonly text: string;
}

/** @param dir compiled declarations of store/ */
export function apiDocs(dir: string): string {
  const declared = exportsOf(dir);
  const sections = areas.map(([folder, title, about]) => {
    const inside = declared.filter(({ file }) => (file.includes('/') ? file.split('/')[0] : '') === folder);
    return inside.length === 0 ? '' : `## ${title}\n\n${about}\n\n${inside.map(entry).join('\n')}`;
  });
  const known = new Set(areas.map(([folder]) => folder));
  const strange = declared.find(({ file }) => file.includes('/') && !known.has(file.split('/')[0]!));
  if (strange !== undefined) throw new Error(`api-docs.ts has no title for the folder of ${strange.file}`);
  return `${head}\n${sections.filter(Boolean).join('\n')}`;
}

const head = `# API of @tsbuild/store

Everything that the package exports, made from its declarations by \`npm run api\`. [README.md](README.md) shows how it is used.
`;

function entry({ name, comment, text }: Declared): string {
  return `### ${name}\n\n${comment === '' ? '' : `${comment}\n\n`}\`\`\`ts\n${text}\n\`\`\`\n`;
}

function exportsOf(dir: string): Declared[] {
  const index = readFileSync(join(dir, 'index.d.ts'), 'utf8');
  const found: Declared[] = [];
  for (const [, names, from = ''] of index.matchAll(
    /^export (?:type )?(?:\{([^}]*)\}|\*) from '\.\/([^']+)\.js';$/gm,
  )) {
    const all = declarationsIn(join(dir, `${from}.d.ts`));
    const wanted = names === undefined ? [...all.keys()] : namesIn(names);
    for (const name of wanted) found.push(declaration(dir, from, name, all));
  }
  return found;
}

function namesIn(list: string): string[] {
  return list
    .split(',')
    .map((each) => each.trim().replace(/^type /, ''))
    .filter(Boolean);
}

/** Where a file passes on what another declares, the other's. */
function declaration(
  dir: string,
  file: string,
  name: string,
  all: ReadonlyMap<string, Omit<Declared, 'file'>>,
): Declared {
  const known = all.get(name);
  if (known !== undefined) return { ...known, file };
  const text = readFileSync(join(dir, `${file}.d.ts`), 'utf8');
  for (const [, names = '', from = ''] of text.matchAll(/^export (?:type )?\{([^}]*)\} from '(\.[^']+)\.js';$/gm)) {
    if (!namesIn(names).includes(name)) continue;
    const next = normalize(join(file, '..', from));
    return { ...declaration(dir, next, name, declarationsIn(join(dir, `${next}.d.ts`))), file };
  }
  throw new Error(`${file}.d.ts does not declare ${name}`);
}

/** The exported declarations of a file, as tsc writes them: at the margin, each with its comment above it. */
function declarationsIn(path: string): Map<string, Omit<Declared, 'file'>> {
  const declarations = new Map<string, Omit<Declared, 'file'>>();
  const lines = readFileSync(path, 'utf8').split('\n');
  let comment: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    if (lines[i]!.startsWith('/**')) {
      const end = lines.findIndex((line, at) => at >= i && line.includes('*/'));
      comment = lines.slice(i, end + 1);
      i = end;
      continue;
    }
    const name = /^export (?:declare |abstract )*(?:async )?(?:function|const|class|interface|type) ([\w$]+)/.exec(
      lines[i]!,
    )?.[1];
    if (name !== undefined) {
      const end = endOf(lines, i);
      const text = lines
        .slice(i, end + 1)
        .join('\n')
        .replace(/^export (declare )?/, '');
      declarations.set(name, { name, comment: proseOf(comment), text });
      i = end;
    }
    comment = [];
  }
  return declarations;
}

/** The line that ends the statement which begins at `start`. */
function endOf(lines: readonly string[], start: number): number {
  for (let i = start; i < lines.length; i++) {
    const line = lines[i]!;
    if (
      i === start
        ? /;$|\}$/.test(line)
        : /^\}|^\S.*;$/.test(line) || (/^ {4}\S.*;$/.test(line) && !lines[start]!.includes('{'))
    )
      return i;
  }
  return lines.length - 1;
}

/** The text of a comment; its tags as paragraphs. */
function proseOf(comment: readonly string[]): string {
  return comment
    .join('\n')
    .replace(/^\/\*\* ?|\s*\*\/$/g, '')
    .replace(/^\s*\* ?/gm, '')
    .replace(/\s*@throws /g, '\n\nThrows ')
    .replace(/\s*@returns /g, '\n\nReturns ')
    .replace(/\s*@see /g, '\n\nSee ')
    .replace(/\s*@param (\S+)\s+/g, '\n\n`$1`: ')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}
