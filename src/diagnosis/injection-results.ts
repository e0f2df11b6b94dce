// Describes whether the webhook gives a pod the reference to the pull Secret, and if not, why. Pure.
import { getWaiting, listContainerStatuses, pullFailures } from '../catch-up/pod-findings.ts';
import { explainLookAlike } from '../ecr/look-alike.ts';
import { getPodImages } from '../ecr/pod-images.ts';
import { getImageHost } from '../ecr/registry.ts';
import type { Decision } from '../injection/decision.ts';
import { injectAnnotation } from '../labels.ts';
import { getField } from '../util/json.ts';
import { type Labels, parseLabelSelector } from '../util/label-selector.ts';
import { formatSelector } from '../util/selector-object.ts';
import type { CheckResult } from './check.ts';

export interface InjectionFacts {
  readonly namespace: string;
  /** The decision about the creation of the pod. */
  readonly decision: Decision;
  readonly pod: unknown;
  /** Of the namespace; undefined: not known. */
  readonly labels: Labels | undefined;
  /** The webhook's `namespaceSelector`, as in the API; undefined: not known. */
  readonly namespaceSelector: unknown;
  /** Whether an image of the pod cannot be pulled, so that what is unusual is likely to be the cause. */
  readonly isFailing: boolean;
}

const check = 'pod-injection';
const excludePage = 'how-to/exclude.md';
const noReference = 'Pods of this namespace get no reference to the pull Secret';

/** Reasons of a pod that is skipped, and what to do to have it injected. */
const skipTexts: Readonly<Partial<Record<Decision['reason'], readonly [summary: string, remedy: string]>>> = {
  'namespace-excluded': [
    'exclude.namespaces or exclude.admissionNamespaces of the configuration excludes namespace NAMESPACE',
    'Remove the namespace from the exclusions (namespaces.exclude in the chart)',
  ],
  'account-excluded': [
    'exclude.accounts of the configuration excludes the AWS accounts of all its images',
    'Remove the account from exclude.accounts',
  ],
  'opted-out': [
    `the pod has the annotation ${injectAnnotation}=false`,
    `Remove the annotation from the pod template`,
  ],
  'mirror-pod': [
    "the pod is the API server's copy of a static pod, which cannot refer to Secrets",
    'Give the kubelet credentials of its own, for example with its credential provider for ECR',
  ],
};

/** @returns one line for the pod, and one for each host that only looks like ECR */
export function describeInjection(facts: InjectionFacts): CheckResult[] {
  const { decision, isFailing } = facts;
  const similar = describeLookAlikes(facts.pod, isFailing);
  if (decision.reason === 'no-ecr-image') {
    return similar.length > 0
      ? similar
      : [{ check, outcome: 'ok', summary: 'no image is in a registry that the program handles' }];
  }
  return [describeDecision(facts), ...similar];
}

function describeDecision(facts: InjectionFacts): CheckResult {
  const { decision, namespace, isFailing } = facts;
  const problem = isFailing ? 'failed' : 'warning';
  const texts = skipTexts[decision.reason];
  if (texts !== undefined) {
    const [summary, remedy] = texts;
    const meaning = 'The webhook skips the pod, so it gets no reference to the pull Secret';
    const text = summary.replace('NAMESPACE', namespace);
    return { check, outcome: problem, summary: text, meaning, remedy, page: excludePage };
  }
  if (decision.action === 'warn' && decision.reason === 'denied-by-rule') {
    return describeDenied(decision.denied);
  }
  const unselected = describeSelection(facts, problem);
  if (unselected !== undefined) {
    return unselected;
  }
  const denied = decision.action === 'ensure' ? decision.denied : [];
  return denied.length > 0
    ? describeDenied(denied)
    : { check, outcome: 'ok', summary: 'the webhook gives the pod the reference to the pull Secret' };
}

function describeDenied(denied: readonly { readonly host: string; readonly rule: string }[]): CheckResult {
  const [first] = denied;
  const more = denied.length > 1 ? ` and ${denied.length - 1} more hosts` : '';
  return {
    check,
    outcome: 'failed',
    summary: `${first?.rule} of the configuration denies the namespace the tokens of ${first?.host}${more}`,
    meaning: 'The namespace gets no tokens of this registry',
    remedy: `If the namespace should have them, add a rule with access: allow before ${first?.rule}`,
    page: 'how-to/isolate-teams.md#deny-access',
  };
}

/** The API server does not call the webhook for namespaces that its selector does not select. */
function describeSelection(
  { namespace, labels, namespaceSelector }: InjectionFacts,
  outcome: 'failed' | 'warning',
): CheckResult | undefined {
  if (labels === undefined) {
    return undefined;
  }
  const common = { check, outcome, meaning: noReference, page: excludePage };
  if (labels[injectAnnotation] === 'false') {
    const summary = `namespace ${namespace} has the label ${injectAnnotation}=false, so the API server does not call the webhook`;
    const remedy = `kubectl label namespace ${namespace} ${injectAnnotation}-`;
    return { ...common, summary, remedy };
  }
  const selector = formatSelector(namespaceSelector);
  const matches = selector === undefined ? undefined : parseLabelSelector(selector);
  if (matches === undefined || matches(labels)) {
    return undefined;
  }
  return {
    ...common,
    summary: `the namespaceSelector of the webhook does not select namespace ${namespace}`,
    remedy: 'Label the namespace as the selector requires, or change namespaces in the values of the chart',
    details: [`selector: ${selector?.slice(0, 500)}`],
  };
}

/** Hosts that are reported at most. */
const maxHosts = 5;

/** Hosts that are likely meant as ECR hosts. The pod is untrusted input. */
function describeLookAlikes(pod: unknown, isFailing: boolean): CheckResult[] {
  const hosts = new Set(getPodImages(pod).map(getImageHost));
  return [...hosts]
    .flatMap((host) => {
      const problem = host === undefined ? undefined : explainLookAlike(host);
      return problem === undefined || host === undefined ? [] : [describeLookAlike(host, problem, isFailing)];
    })
    .slice(0, maxHosts);
}

export function describeLookAlike(host: string, problem: string, isFailing: boolean): CheckResult {
  return {
    check: 'image-registry',
    outcome: isFailing ? 'failed' : 'warning',
    summary: `${host} looks like a host of Amazon ECR, but is not one: it ${problem}`,
    meaning: 'The program fetches no tokens for this host',
    remedy: 'Correct the host in the image, or map it to a registry with hosts in the configuration',
    page: 'how-to/other-host-names.md',
  };
}

/** Whether the kubelet reports that an image of a pod cannot be pulled. */
export function isPullFailing(pod: unknown): boolean {
  return listContainerStatuses(pod).some((one) => {
    const reason = getField(getWaiting(one), 'reason');
    return pullFailures.has(reason) || otherFailures.has(reason);
  });
}

/** Further reasons of the kubelet for an image that is not pulled (kubernetes `pkg/kubelet/images/types.go`). */
const otherFailures: ReadonlySet<unknown> = new Set([
  ...['ErrImageNeverPull', 'InvalidImageName', 'RegistryUnavailable'],
]);
