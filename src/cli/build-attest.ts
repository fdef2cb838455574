// --attest, --provenance and --sbom: what is attested about the image.
import { closest } from '../base/index.js';
import type { Attested } from '../build/index.js';
import type { BuildOptions } from './build-options.js';
import { given, imageName } from './build-values.js';
import { UsageError } from './cli.js';
import { booleanField, splitFields } from './fields.js';

const defaultGenerator = 'docker/buildkit-syft-scanner:stable-1';
const kinds = ['provenance', 'sbom'] as const;
type Kind = (typeof kinds)[number];

interface Asked {
  readonly option: string;
  readonly text: string;
  readonly kind: Kind;
  readonly fields: ReadonlyMap<string, string>;
}

/** Of several of a kind the last counts. @throws UsageError */
export function attested({ attest = [], provenance, sbom }: BuildOptions): Attested {
  const asked = [
    ...attest.map(parseAttest),
    ...(provenance === undefined ? [] : [shorthand('--provenance', provenance, 'provenance')]),
    ...(sbom === undefined ? [] : [shorthand('--sbom', sbom, 'sbom')]),
  ].filter((each) => each !== null);
  const last = (kind: Kind): Asked | null => {
    const found = asked.findLast((each) => each.kind === kind);
    return found === undefined || isDisabled(found) ? null : found;
  };
  return { provenance: provenanceOf(last('provenance')), sbom: sbomOf(last('sbom')) };
}

function parseAttest(text: string): Asked {
  const fields = fieldsOf('--attest', text);
  const type = fields.get('type');
  const kind = kinds.find((known) => known === type);
  if (kind !== undefined) return { option: '--attest', text, kind, fields };
  const near = type === undefined ? undefined : closest(type, kinds);
  throw bad(
    '--attest',
    text,
    type === undefined ? 'there is no type' : `there is no type ${type}`,
    near ? `did you mean ${near}?` : 'write --attest type=provenance,mode=max or --attest type=sbom',
  );
}

/** 'true', 'false', or fields. */
function shorthand(option: string, text: string, kind: Kind): Asked {
  if (text.includes('=')) return { option, text, kind, fields: fieldsOf(option, text) };
  const on = booleanField(option, kind, text);
  return { option, text, kind, fields: new Map([['disabled', String(!on)]]) };
}

function fieldsOf(option: string, text: string): Map<string, string> {
  return new Map(
    splitFields(option, text).map((field) => {
      const at = field.indexOf('=');
      if (at > 0) return [field.slice(0, at).trim(), field.slice(at + 1)];
      throw bad(
        option,
        text,
        `${JSON.stringify(field)} is no field`,
        'write fields as NAME=VALUE, with commas between',
      );
    }),
  );
}

function isDisabled({ option, fields }: Asked): boolean {
  const disabled = fields.get('disabled');
  return disabled !== undefined && booleanField(option, 'disabled', disabled);
}

/** Accepted: it says what is done, or nothing that matters here. */
const provenanceFields = ['mode', 'builder-id', 'reproducible', 'version', 'type', 'disabled', 'inline-only'];

function provenanceOf(asked: Asked | null): Attested['provenance'] {
  if (asked === null) return null;
  const { option, text, fields } = asked;
  for (const name of fields.keys()) {
    if (provenanceFields.includes(name)) continue;
    const near = closest(name, provenanceFields);
    throw bad(option, text, `there is no field ${name}`, near ? `did you mean ${near}?` : 'leave it out');
  }
  const version = fields.get('version') ?? 'v1';
  if (version !== 'v1') {
    throw bad(option, text, `provenance of version ${version} is not written`, 'leave version out: it is v1');
  }
  const mode = fields.get('mode') ?? 'max';
  if (mode !== 'min' && mode !== 'max')
    throw bad(option, text, `invalid mode ${JSON.stringify(mode)}`, 'it is min or max');
  const reproducible = fields.get('reproducible');
  return {
    mode,
    builderId: fields.get('builder-id') ?? '',
    reproducible: reproducible !== undefined && booleanField(option, 'reproducible', reproducible),
  };
}

function sbomOf(asked: Asked | null): Attested['sbom'] {
  if (asked === null) return null;
  const { generator = defaultGenerator, ...more } = Object.fromEntries(asked.fields);
  const { type: _type, disabled: _disabled, ...parameters } = more;
  given(asked.option, generator, imageName);
  return { generator, parameters: new Map(Object.entries(parameters)) };
}

function bad(option: string, text: string, problem: string, hint: string): UsageError {
  return new UsageError('USAGE', { message: `${option} ${text}: ${problem}`, hint });
}
