// What an image says of itself, for people.
import type { Descriptor, RunConfig } from '#store';
import { formatPlatform } from '../platform/index.js';
import type { Inspection } from './inspection.js';
import { ago, humanBytes, table } from './table.js';

export function imageText(shown: Inspection): string {
  const { name, root, names, image, index } = shown;
  const others = names.filter((each) => each !== name);
  const parts = [
    `${plain(name)}\n`,
    rows([
      ['digest', root.descriptor.digest],
      ['type', root.descriptor.mediaType],
      ['other names', others.join(', ')],
    ]),
    index === null ? '' : `\n${indexText(index.manifests)}`,
    image === null ? '' : `\n${configText(shown, image)}`,
  ];
  return parts.join('');
}

function indexText(entries: readonly Descriptor[]): string {
  const attested = new Map<string, number>();
  for (const { annotations } of entries) {
    const about = annotations?.['vnd.docker.reference.digest'];
    if (about !== undefined) attested.set(about, (attested.get(about) ?? 0) + 1);
  }
  const images = entries.filter(({ platform }) => platform?.architecture !== 'unknown');
  return table(
    ['PLATFORM', 'DIGEST', 'ATTESTATIONS'],
    images.map(({ platform, digest }) => [
      platform === undefined ? '' : plain(formatPlatform(platform)),
      digest,
      String(attested.get(digest) ?? '') || '-',
    ]),
  );
}

function configText({ sizeBytes }: Inspection, { config, manifest, digest }: NonNullable<Inspection['image']>): string {
  const { config: run = {}, created, author } = config;
  const layers = manifest.layers.map(({ digest: layer, size, mediaType }) => [
    layer,
    humanBytes(size),
    plain(mediaType.replace(/^application\/vnd\.(oci\.image|docker\.image)\./, '')),
  ]);
  return [
    rows([
      ['platform', formatPlatform(config)],
      ['manifest', digest],
      ['config', manifest.config.digest],
      ['created', created === undefined ? '' : `${plain(created)} (${ago(Date.parse(created))})`],
      ['author', author ?? ''],
      ['size', `${humanBytes(sizeBytes)} in ${layers.length} ${layers.length === 1 ? 'layer' : 'layers'}`],
      ...runRows(run),
    ]),
    layers.length > 0 ? `\n${table(['LAYER', 'SIZE', 'TYPE'], layers)}` : '',
  ].join('');
}

function runRows(run: RunConfig): [string, string][] {
  const list = (values: readonly string[] | undefined): string => (values === undefined ? '' : JSON.stringify(values));
  const pairs = Object.entries(run.Labels ?? {});
  return [
    ['entrypoint', list(run.Entrypoint)],
    ['command', list(run.Cmd)],
    ['user', run.User ?? ''],
    ['directory', run.WorkingDir ?? ''],
    ['ports', Object.keys(run.ExposedPorts ?? {}).join(', ')],
    ['volumes', Object.keys(run.Volumes ?? {}).join(', ')],
    ['stop signal', run.StopSignal ?? ''],
    ...(run.Env ?? []).map((entry, i): [string, string] => [i === 0 ? 'environment' : ' ', entry]),
    ...pairs.map(([key, value], i): [string, string] => [i === 0 ? 'labels' : ' ', `${key}=${value}`]),
  ];
}

/** Facts that there are, under each other; what an image says is nothing for a terminal to obey. */
function rows(facts: readonly (readonly [name: string, value: string])[]): string {
  return facts
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `  ${name.padEnd(12)} ${plain(value)}\n`)
    .join('');
}

function plain(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (char) => JSON.stringify(char).slice(1, -1));
}
