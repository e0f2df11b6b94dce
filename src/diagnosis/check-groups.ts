// The groups of checks that doctor runs, in the order in which it prints them.

import { checkApiServer } from './api-server-checks.ts';
import { checkAws } from './aws-checks.ts';
import type { CheckResult, GroupName } from './check.ts';
import { createConfigurationChecks } from './configuration-checks.ts';
import type { CheckGroupRunner, ConfigSource } from './installation.ts';
import { createPodChecks } from './pod-checks.ts';
import { checkProvisioning } from './provisioning-checks.ts';
import type { ReportTimeline } from './report-timeline.ts';
import { createSecretChecks } from './secret-checks.ts';
import { shareSurvey } from './secret-survey.ts';
import { createWebhookChecks } from './webhook-checks.ts';

/** What the groups need besides the installation. */
export interface CheckGroupOptions {
  /** Why the configuration of the installation is not known. */
  readonly problem: CheckResult | undefined;
  /** Where it comes from. */
  readonly source: ConfigSource | undefined;
  /** The namespace of the pod that the API server admits on a dry run; undefined: one that is selected. */
  readonly namespace: string | undefined;
  /** Receives the tokens of all pull Secrets. */
  onTimeline(timeline: ReportTimeline): void;
}

/** One group, and how it runs. */
export interface CheckGroupDefinition {
  readonly name: GroupName;
  readonly run: CheckGroupRunner;
}

export function createCheckGroups(options: CheckGroupOptions): readonly CheckGroupDefinition[] {
  const readSurvey = shareSurvey();
  const groups: CheckGroupDefinition[] = [
    { name: 'configuration', run: createConfigurationChecks(options.problem, options.source) },
    { name: 'api-server', run: checkApiServer },
    { name: 'webhook', run: createWebhookChecks(options.namespace) },
    { name: 'aws', run: checkAws },
    { name: 'secrets', run: createSecretChecks(readSurvey, options.onTimeline) },
    { name: 'pods', run: createPodChecks(readSurvey) },
    { name: 'provisioning', run: checkProvisioning },
  ];
  return options.problem?.outcome === 'failed' ? groups.map(skipUnlessIndependent) : groups;
}

/** Without a configuration, the other groups would examine the defaults, and report a wrong cause. */
function skipUnlessIndependent(group: CheckGroupDefinition): CheckGroupDefinition {
  const summary = 'not checked, because the configuration of the installation is not known';
  return group.name === 'configuration' || group.name === 'api-server'
    ? group
    : { ...group, run: async () => [{ check: 'group-skipped', outcome: 'skipped', summary }] };
}
