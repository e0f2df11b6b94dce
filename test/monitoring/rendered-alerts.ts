// Renders the alerts of the chart.
import type { Helm, Values } from '../chart/helm.ts';
import { getApiVersions, registry } from '../chart/install-modes.ts';
import { findOne, getValueAt } from '../chart/rendered-objects.ts';

/** An alert, as Prometheus reads it. */
export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<'summary' | 'description' | 'runbook_url', string>>;
}

/** A file of rules, as Prometheus reads it. */
export interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Alert[] }[];
}

/** The namespace and the release of {@link renderRules}. The chart's metrics have this job with a ServiceMonitor. */
export const release = { namespace: 'pulls', name: 'ecr-pull-secrets', job: 'ecr-pull-secrets-status' };

/** Values with which every alert of the chart is rendered. */
const allAlerts: Values = {
  config: { provisioning: { registries: [registry] } },
  cronJob: { enabled: true, besideDeployment: true },
};

const kubeVersion = '1.37.0';

/**
 * Renders the rules of a release.
 * @param settings merged into `metrics.prometheusRule`
 */
export async function renderRules(
  helm: Helm,
  values: Values = allAlerts,
  settings: Values = {},
): Promise<RuleFile> {
  const metrics = { prometheusRule: { enabled: true, ...settings } };
  const objects = await helm.template(
    { ...values, metrics },
    {
      ...{ release: release.name, namespace: release.namespace },
      ...{ kubeVersion, apiVersions: getApiVersions(kubeVersion) },
    },
  );
  return getValueAt(findOne(objects, 'PrometheusRule'), 'spec');
}

/** The alerts of a file, in order. */
export function alertsOf({ groups }: RuleFile): readonly Alert[] {
  return groups.flatMap(({ rules }) => rules);
}
