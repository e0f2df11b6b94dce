// Which rights the checks need, and what is not checked without them. Pure.
import type { AccessRight } from '../kube/access-reviews.ts';
import type { CheckResult } from './check.ts';
import type { Viewpoint } from './installation.ts';

/** A right of the caller, and the checks that need it. */
export interface CallerRight extends AccessRight {
  readonly checks: string;
}

export function listCallerRights(namespace: string | undefined, viewpoint: Viewpoint): CallerRight[] {
  const core = { group: '' };
  const own = namespace === undefined ? {} : { namespace };
  const list = { verb: 'list' };
  return [
    { ...core, ...list, resource: 'secrets', checks: 'secrets' },
    { ...core, ...list, resource: 'pods', checks: 'pods' },
    { ...core, ...list, resource: 'events', checks: 'secret-tokens, pods' },
    { ...core, ...list, resource: 'namespaces', checks: 'webhook-namespaces' },
    { ...core, ...list, resource: 'serviceaccounts', checks: 'provisioning' },
    {
      ...{ group: 'admissionregistration.k8s.io', ...list, resource: 'mutatingwebhookconfigurations' },
      checks: 'webhook',
    },
    { group: 'apps', ...list, resource: 'deployments', ...own, checks: 'program-rights, webhook-endpoints' },
    { group: 'discovery.k8s.io', ...list, resource: 'endpointslices', ...own, checks: 'webhook-endpoints' },
    {
      group: 'networking.k8s.io',
      ...list,
      resource: 'networkpolicies',
      ...own,
      checks: 'webhook-network-policy',
    },
    ...(viewpoint === 'outside'
      ? [
          { ...core, ...list, resource: 'configmaps', ...own, checks: 'configuration' },
          {
            ...{ group: 'authorization.k8s.io', verb: 'create', resource: 'subjectaccessreviews' },
            checks: 'program-rights, excess-rights',
          },
        ]
      : []),
  ];
}

/** Missing rights of the caller are no failure of the installation. */
export function judgeCallerRights(
  missing: readonly CallerRight[],
  format: (right: AccessRight) => string,
  viewpoint: Viewpoint,
): CheckResult {
  const check = 'caller-rights';
  const isOutside = viewpoint === 'outside';
  return missing.length === 0
    ? {
        check,
        outcome: 'ok',
        summary: `${isOutside ? 'you have' : 'the program has'} all rights that the checks need`,
      }
    : {
        check,
        outcome: 'skipped',
        summary: `some checks are skipped, because ${isOutside ? 'you lack' : 'the program lacks'} rights that they need`,
        remedy: 'Run doctor as an administrator to check the rest',
        page: 'how-to/diagnose.md#grant-the-rights',
        details: missing.map((right) => `${format(right)} (${right.checks})`),
      };
}
