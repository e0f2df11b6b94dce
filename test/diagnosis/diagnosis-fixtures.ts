// Results of checks in a short form, and webhook configurations, for the tests of the diagnosis.
import type { CheckResult } from '../../src/diagnosis/check.ts';
import { parseConfiguration, type WebhookConfigurationFacts } from '../../src/diagnosis/webhook-facts.ts';

/** The outcome and the summary of a result. */
export function brief({ outcome, summary }: CheckResult): string {
  return `${outcome}: ${summary}`;
}

/** A MutatingWebhookConfiguration as the chart installs it, with changes to its webhook. */
export function webhookConfiguration(
  webhook: Record<string, unknown> = {},
  name = 'zz-ecr-pull-secrets',
): WebhookConfigurationFacts {
  const parsed = parseConfiguration({
    metadata: { name },
    webhooks: [
      {
        name: 'pods.ecr-pull-secrets.io',
        clientConfig: { service: { name: 'ecr-pull-secrets', namespace: 'pulls', port: 443 } },
        failurePolicy: 'Ignore',
        sideEffects: 'NoneOnDryRun',
        matchConditions: [{ name: 'ecr-image', expression: 'true' }],
        rules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['pods'] },
        ],
        ...webhook,
      },
    ],
  });
  if (parsed === undefined) {
    throw new Error('not a webhook configuration');
  }
  return parsed;
}
