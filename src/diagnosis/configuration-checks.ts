// Checks of the group `configuration`: whether it is valid, what differs from the defaults, and what has no effect.
import { readConfig } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import { findUnusedSettings } from '../provisioning/provisioning-settings.ts';
import { listChangedSettings } from './changed-settings.ts';
import type { CheckResult } from './check.ts';
import type { CheckGroupRunner } from './installation.ts';

/** @param problem why the configuration of the installation is not known */
export function createConfigurationChecks(problem: CheckResult | undefined): CheckGroupRunner {
  return async ({ config }) =>
    problem === undefined ? [judgeSettings(config), judgeUnused(config)] : [problem];
}

function judgeSettings(config: Config): CheckResult {
  const changed = listChangedSettings(config, readConfig('', 'the default configuration'));
  return {
    check: 'configuration-valid',
    outcome: 'ok',
    summary:
      changed.length === 0
        ? 'the configuration is valid, and all settings have their defaults'
        : `the configuration is valid; ${changed.length === 1 ? 'one setting differs' : `${changed.length} settings differ`} from the defaults`,
    details: changed,
  };
}

/** A configuration with contradictions is not valid, so only settings without an effect remain. */
function judgeUnused(config: Config): CheckResult {
  const check = 'configuration-contradictions';
  const { exclude, certificates, webhook } = config;
  const ofFiles = readConfig('', 'the default configuration').webhook;
  const unused = [
    ...findUnusedSettings(config).map(
      (path) => `${path} has no effect, because provisioning.registries is empty`,
    ),
    ...(certificates.source === 'managed'
      ? (['certFile', 'keyFile'] as const)
          .filter((key) => webhook[key] !== ofFiles[key])
          .map((key) => `webhook.${key} has no effect, because certificates.source is managed`)
      : []),
    ...(exclude.namespaces.includes('*')
      ? ['exclude.namespaces excludes all namespaces, so nothing is handled']
      : []),
  ];
  const [first] = unused;
  return first === undefined
    ? { check, outcome: 'ok', summary: 'no setting contradicts another one or lacks an effect' }
    : {
        check,
        outcome: 'warning',
        summary: unused.length === 1 ? first : `${unused.length} settings have no effect`,
        meaning: 'The program may not do what the configuration suggests',
        remedy: 'Remove these settings, or the setting that disables them',
        page: 'reference/configuration.md',
        details: unused.length === 1 ? [] : unused,
      };
}
