// Judges the webhook configuration: whose it is, its rules, and other webhooks that run after it. Pure.
import type { CheckResult } from './check.ts';
import { countOf } from './check-text.ts';
import type { WebhookConfigurationFacts, WebhookFacts } from './webhook-facts.ts';

const chartModes = 'reference/chart.md#modes';

/** What was found of the two ways in which pods get the reference. */
export interface InjectionFacts {
  /** All MutatingWebhookConfigurations that may be ours. */
  readonly own: readonly WebhookConfigurationFacts[];
  /** The name of the configuration according to the settings. */
  readonly expectedName: string;
  /** Whether a MutatingAdmissionPolicy of the chart exists; undefined if it is not known. */
  readonly hasPolicy: boolean | undefined;
  /** Whether provisioning adds references to ServiceAccounts. */
  readonly provisionsReferences: boolean;
}

/** Judges whether anything adds the reference to pods. */
export function judgeInjection(facts: InjectionFacts): CheckResult {
  const check = 'webhook-configuration';
  const { own, expectedName, hasPolicy, provisionsReferences } = facts;
  const [configuration, ...others] = own;
  if (configuration === undefined) {
    return judgeMissingConfiguration(facts);
  }
  const [webhook] = configuration.webhooks;
  if (webhook === undefined || !configuration.isOwn) {
    return {
      check,
      outcome: 'failed',
      summary: `MutatingWebhookConfiguration ${configuration.name} has no webhook of the chart`,
      meaning: 'The API server does not call the program, so new pods get no reference',
      remedy: 'Restore it with helm upgrade',
      page: 'reference/chart.md#installed-objects',
    };
  }
  if (others.length > 0) {
    return {
      check,
      outcome: 'warning',
      summary: `${own.length} MutatingWebhookConfigurations call a program of this kind`,
      meaning: 'Each pod is handled by all of them, and they may use different Secrets',
      remedy: `Remove those that are left from an earlier installation; this one is ${expectedName}`,
      page: 'how-to/uninstall.md',
      details: own.map(({ name }) => name),
    };
  }
  const also = [hasPolicy ? 'a MutatingAdmissionPolicy' : '', provisionsReferences ? 'provisioning' : '']
    .filter(Boolean)
    .join(' and ');
  return {
    check,
    outcome: 'ok',
    summary: `MutatingWebhookConfiguration ${configuration.name} exists${also && `; ${also} adds references as well`}`,
  };
}

function judgeMissingConfiguration({
  expectedName,
  hasPolicy,
  provisionsReferences,
}: InjectionFacts): CheckResult {
  const check = 'webhook-configuration';
  if (hasPolicy) {
    return {
      check,
      outcome: 'ok',
      summary:
        'a MutatingAdmissionPolicy adds the reference, and no webhook is installed (injection: policy)',
      page: chartModes,
    };
  }
  if (provisionsReferences) {
    return {
      check,
      outcome: 'ok',
      summary: 'only provisioning adds references, through ServiceAccounts (injection: none)',
      page: chartModes,
    };
  }
  return {
    check,
    outcome: 'failed',
    summary: `MutatingWebhookConfiguration ${expectedName} does not exist`,
    meaning: 'The API server does not call the program, so new pods get no reference',
    remedy: 'Restore it with helm upgrade',
    page: 'reference/chart.md#installed-objects',
  };
}

/** Judges the rules and policies of our webhook. */
export function judgeRules(configuration: string, webhook: WebhookFacts): CheckResult {
  const check = 'webhook-rules';
  const failed = (summary: string, meaning: string): CheckResult => ({
    check,
    outcome: 'failed',
    summary: `webhook ${webhook.name} of ${configuration} ${summary}`,
    meaning,
    remedy: 'Restore it with helm upgrade',
    page: 'reference/chart.md#selection-of-pods',
  });
  if (!webhook.podOperations.has('CREATE')) {
    return failed('has no rule for the creation of pods', 'New pods get no reference');
  }
  if (!['None', 'NoneOnDryRun'].includes(webhook.sideEffects)) {
    return failed(
      `has sideEffects: ${webhook.sideEffects}`,
      'The API server refuses dry runs, such as those of kubectl diff',
    );
  }
  const unusual = [
    webhook.podOperations.has('UPDATE')
      ? ''
      : 'it has no rule for updates of pods, so new images of pods are not noticed',
    webhook.objectSelector === undefined || JSON.stringify(webhook.objectSelector) === '{}'
      ? ''
      : 'its objectSelector excludes pods by their labels',
  ].filter(Boolean);
  if (unusual.length > 0) {
    return {
      check,
      outcome: 'warning',
      summary: `webhook ${webhook.name} of ${configuration} differs from the chart: ${unusual.join('; ')}`,
      meaning: 'Some pods get no reference',
      remedy: 'Restore it with helm upgrade',
      page: 'reference/chart.md#selection-of-pods',
    };
  }
  const effect =
    webhook.failurePolicy === 'Ignore'
      ? 'pods are admitted without the reference while no replica responds'
      : 'pods with an ECR image are refused while no replica responds';
  return {
    check,
    outcome: 'ok',
    summary: `the webhook is called for new pods; failurePolicy: ${webhook.failurePolicy}, so ${effect}`,
    page: 'reference/chart.md#failure-policy',
  };
}

/** Webhooks that a message names. */
const maxNamed = 10;

/** Judges whether webhooks that run later may change images to ECR. */
export function judgeOrder(
  own: WebhookConfigurationFacts,
  all: readonly WebhookConfigurationFacts[],
  hasPolicy: boolean,
): CheckResult {
  const check = 'webhook-order';
  const later = all.filter(
    ({ name, isOwn, webhooks }) =>
      !isOwn && name > own.name && webhooks.some(({ podOperations }) => podOperations.has('CREATE')),
  );
  const seesAllPods = own.webhooks.every(({ matchConditions }) => !matchConditions.includes('ecr-image'));
  if (later.length === 0 || seesAllPods || hasPolicy) {
    const why =
      later.length === 0
        ? 'no other webhook for pods runs after this one'
        : `changes of images by ${countOf(later.length, 'later webhook')} are handled too`;
    return { check, outcome: 'ok', summary: why };
  }
  return {
    check,
    outcome: 'warning',
    summary: `${later.length === 1 ? 'one webhook' : `${later.length} webhooks`} for pods run after this one: ${later
      .slice(0, maxNamed)
      .map(({ name }) => name)
      .join(', ')}`,
    meaning: 'If one of them changes an image to ECR, that pod gets no reference',
    remedy: 'Rename their configurations so that they sort before this one, or set webhook.match: allPods',
    page: 'how-to/rewritten-images.md#fix-the-cause',
  };
}

/** Judges whether each policy of the chart has a binding. */
export function judgePolicies(
  policies: readonly { readonly name: string; readonly hasBinding: boolean }[],
): readonly CheckResult[] {
  const check = 'webhook-policy';
  return policies.map(({ name, hasBinding }) =>
    hasBinding
      ? { check, outcome: 'ok', summary: `MutatingAdmissionPolicy ${name} exists and is bound` }
      : {
          check,
          outcome: 'failed',
          summary: `MutatingAdmissionPolicy ${name} has no MutatingAdmissionPolicyBinding`,
          meaning: 'The API server does not apply the policy, so it adds no reference',
          remedy: 'Restore the binding with helm upgrade',
          page: chartModes,
        },
  );
}
