import { parse, stringify } from 'yaml';
import { readConfig } from '../../src/config/load-config.ts';
import type { Config } from '../../src/config/schema.ts';
import { at, type KubeObject } from './objects.ts';

/** The file in the chart's ConfigMap, parsed. */
export function configFileIn(configMap: KubeObject): Record<string, unknown> {
  return parse(at(configMap, 'data')['config.yaml']);
}

/** The settings as the program reads them. @throws ConfigError where it would not start */
export function settingsIn(configMap: KubeObject): Config {
  return readConfig(stringify(configFileIn(configMap)), 'the ConfigMap');
}
