// Finds and reads objects in rendered manifests.
import { parse, stringify } from 'yaml';
import { readConfig } from '../../src/config/load-config.ts';
import type { Config } from '../../src/config/schema.ts';

/** A Kubernetes object in a manifest. */
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

/**
 * Returns the only object of a kind, and with a name if given.
 * @throws {Error} if there is no such object, or more than one
 */
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

/** The value at a path such as `spec.template.spec.containers.0.image`, or undefined. */
// biome-ignore lint/suspicious/noExplicitAny: tests read manifests at any depth and assert on the values
export function getValueAt(object: unknown, path: string): any {
  return path.split('.').reduce<unknown>((value, key) => Object(value)[key], object);
}

/** The names of the objects as `Kind/name`, sorted. */
export function getNames(objects: readonly KubeObject[]): string[] {
  return objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`).sort();
}

/** Parses the configuration file in the chart's ConfigMap. */
export function parseConfigFile(configMap: KubeObject): Record<string, unknown> {
  return parse(getValueAt(configMap, 'data')['config.yaml']);
}

/**
 * Reads the configuration as the program does.
 * @throws {ConfigError} if the program would not start
 */
export function parseSettings(configMap: KubeObject): Config {
  return readConfig(stringify(parseConfigFile(configMap)), 'the ConfigMap');
}

/** The pod specs in all objects that create pods. */
export function podSpecs(objects: readonly KubeObject[]): unknown[] {
  const places: Readonly<Record<string, string>> = {
    Pod: 'spec',
    Deployment: 'spec.template.spec',
    CronJob: 'spec.jobTemplate.spec.template.spec',
  };
  return objects.flatMap((object) => {
    const place = places[object.kind];
    return place === undefined ? [] : [getValueAt(object, place)];
  });
}
