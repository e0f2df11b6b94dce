// Reads settings as a configuration file.
import assert from 'node:assert/strict';
import { stringify } from 'yaml';
import { ConfigError, readConfig } from '../../src/config/load-config.ts';

/** The problems of settings, each with the path of the setting; none if the settings are valid. */
export function problemsOf(settings: object): string[] {
  try {
    readConfig(stringify(settings), 'test.yaml');
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(({ path, text }) => `${path} ${text}`);
  }
  return [];
}
