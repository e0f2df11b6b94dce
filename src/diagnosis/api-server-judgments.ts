// Judges whether the API server responds, and whether its version is supported. Pure.
import type { KubeError } from '../kube/errors.ts';
import type { CheckResult } from './check.ts';

/** The oldest minor version of Kubernetes 1 that is supported, and the newest one that is tested. */
const oldestMinor = 30;
const newestMinor = 37;

/** @param error undefined if it responded */
export function judgeReachability(
  address: string,
  error: Pick<KubeError, 'code' | 'message' | 'status'> | undefined,
): CheckResult {
  const check = 'api-server-reachable';
  if (error === undefined) {
    return { check, outcome: 'ok', summary: `the API server responds at ${address}` };
  }
  const [problem, remedy] = describe(error);
  return {
    check,
    outcome: 'failed',
    summary: `the API server at ${address} ${problem}`,
    meaning: 'Nothing else in the cluster can be checked from here',
    remedy,
    page: 'troubleshooting.md#the-program-does-not-start',
    details: [error.message],
  };
}

function describe({
  code,
  message,
  status,
}: Pick<KubeError, 'code' | 'message' | 'status'>): [problem: string, remedy: string] {
  if (code === 'unauthorized' && status === undefined) {
    return [
      'was not called, because there are no credentials for it',
      'Sign in again, or correct the user in the kubeconfig',
    ];
  }
  if (code === 'unauthorized' || code === 'forbidden') {
    return ['does not accept the credentials', 'Sign in again, or select another --context or --kubeconfig'];
  }
  if (code === 'timeout') {
    return ['does not respond', 'Check the address, and firewalls and proxies on the way to it'];
  }
  if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(message)) {
    return [
      'has a certificate that is not trusted or not valid',
      'Check certificate-authority of the cluster in the kubeconfig',
    ];
  }
  return code === 'network'
    ? ['cannot be reached', 'Check the address, and firewalls and proxies on the way to it']
    : [`does not respond as an API server (${code})`, 'Check which server responds at this address'];
}

export function judgeVersion(gitVersion: string): CheckResult {
  const check = 'api-server-version';
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(gitVersion) ?? [];
  const page = 'reference/supported-versions.md#kubernetes';
  if (major !== '1' || minor === undefined) {
    return { check, outcome: 'warning', summary: `Kubernetes ${gitVersion} is not a known version`, page };
  }
  if (Number(minor) < oldestMinor) {
    return {
      check,
      outcome: 'failed',
      summary: `Kubernetes ${gitVersion} is not supported; the oldest supported version is 1.${oldestMinor}`,
      meaning: 'The chart needs APIs that this version does not have',
      remedy: 'Upgrade Kubernetes',
      page,
    };
  }
  return Number(minor) > newestMinor
    ? {
        check,
        outcome: 'warning',
        summary: `Kubernetes ${gitVersion} is newer than the newest tested version, 1.${newestMinor}`,
        meaning: 'It probably works, but it has not been tested',
        remedy: 'Upgrade ecr-pull-secrets',
        page,
      }
    : { check, outcome: 'ok', summary: `Kubernetes ${gitVersion} is supported` };
}
