import { parse, stringify } from 'yaml';
import { readConfig } from '../../src/config/load-config.ts';
import type { Config } from '../../src/config/schema.ts';

/** An object of the API, as a manifest has it. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** The one object of a kind (and name). @throws where there is none, or several */
export function findOne(objects: readonly KubeObject[], kind: string, name?: string): KubeObject {
  const found = objects.filter(
    (object) => object.kind === kind && (name === undefined || object.metadata.name === name),
  );
  const [object] = found;
  if (object === undefined || found.length > 1) {
    throw new Error(`${found.length} objects of kind ${kind}${name === undefined ? '' : ` named ${name}`}`);
  }
  return object;
}

/** What stands at a path such as `spec.template.spec.containers.0.image`; undefined where there is nothing. */
// biome-ignore lint/suspicious/noExplicitAny: manifests are looked into at any depth, and asserted on
export function getValueAt(object: unknown, path: string): any {
  return path.split('.').reduce<unknown>((value, key) => Object(value)[key], object);
}

/** `Kind/name`, sorted. */
export function getNames(objects: readonly KubeObject[]): string[] {
  return objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`).sort();
}

/** The file in the chart's ConfigMap, parsed. */
export function parseConfigFile(configMap: KubeObject): Record<string, unknown> {
  return parse(getValueAt(configMap, 'data')['config.yaml']);
}

/** The settings as the program reads them. @throws ConfigError where it would not start */
export function parseSettings(configMap: KubeObject): Config {
  return readConfig(stringify(parseConfigFile(configMap)), 'the ConfigMap');
}
