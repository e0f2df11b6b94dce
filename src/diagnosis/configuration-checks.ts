// Checks of the group `configuration`: whether it is valid, what differs from the defaults, and what has no effect.
import { readDefaultConfig } from '../config/load-config.ts';
import type { Config } from '../config/schema.ts';
import { productName } from '../labels.ts';
import { findUnusedSettings } from '../provisioning/provisioning-settings.ts';
import { listChangedSettings } from './changed-settings.ts';
import type { CheckResult } from './check.ts';
import type { CheckGroupRunner, ConfigSource } from './installation.ts';

/**
 * @param problem why the configuration of the installation is not known
 * @param source where it comes from; undefined: it was not found
 */
export function createConfigurationChecks(
  problem: CheckResult | undefined,
  source: ConfigSource | undefined,
): CheckGroupRunner {
  return async ({ config }) => {
    const defaults = readDefaultConfig();
    return problem === undefined
      ? [judgeSettings(config, defaults, source), judgeUnused(config, defaults)]
      : [problem];
  };
}

function judgeSettings(config: Config, defaults: Config, source: ConfigSource | undefined): CheckResult {
  const changed = listChangedSettings(config, defaults);
  const valid = `the configuration is valid${source === undefined ? '' : ` (${source.name})`}`;
  const summary =
    changed.length === 0
      ? `${valid}, and all settings have their defaults`
      : `${valid}; ${changed.length === 1 ? 'one setting differs' : `${changed.length} settings differ`} from the defaults`;
  return source?.foundBy === 'label'
    ? { ...describeFoundByLabel(source), summary: `${summary}; ${foundByLabel}`, details: changed }
    : { check: 'configuration-valid', outcome: 'ok', summary, details: changed };
}

const foundByLabel = 'it was found by its label only';

function describeFoundByLabel({ name }: ConfigSource): CheckResult {
  return {
    check: 'configuration-valid',
    outcome: 'warning',
    summary: `the configuration is that of ${name}; ${foundByLabel}`,
    meaning:
      'Everyone who may create ConfigMaps in that namespace may have created it, so the program may use another configuration',
    remedy:
      'If the program is installed in another namespace, select it with --install-namespace. With the right to list ' +
      'mutatingwebhookconfigurations or clusterrolebindings, the namespace is found without it',
    page: 'how-to/diagnose.md#run-it-on-your-machine',
  };
}

/**
 * Describes where a configuration comes from.
 * @returns undefined if the caller chose it, or if it is in the namespace that the documentation uses
 */
export function describeSource(source: ConfigSource | undefined): CheckResult | undefined {
  switch (source?.foundBy) {
    case 'label':
      return describeFoundByLabel(source);
    case 'cluster':
      return source.name.startsWith(`ConfigMap ${productName}/`)
        ? undefined
        : {
            check: 'configuration-valid',
            outcome: 'ok',
            summary: `the configuration is that of ${source.name}`,
          };
    default:
      return undefined;
  }
}

/** A configuration with contradictions is not valid, so only settings without an effect remain. */
function judgeUnused(config: Config, defaults: Config): CheckResult {
  const check = 'configuration-contradictions';
  const { exclude, certificates, webhook } = config;
  const unused = [
    ...findUnusedSettings(config).map(
      (path) => `${path} has no effect, because provisioning.registries is empty`,
    ),
    ...(certificates.source === 'managed'
      ? (['certFile', 'keyFile'] as const)
          .filter((key) => webhook[key] !== defaults.webhook[key])
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
