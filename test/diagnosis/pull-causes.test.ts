// Tests how failed pulls are classified: by the message of the kubelet, the reference of the pod and the pull Secret.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { determineCause, type PullFacts } from '../../src/diagnosis/pull-causes.ts';
import { classifyMessage, findPullFailures } from '../../src/diagnosis/pull-failures.ts';
import type { HostStatus } from '../../src/diagnosis/secret-states.ts';
import { resolveRegistry } from '../support/registries.ts';
import { hostStatus, secretStatus } from './secret-status-fixtures.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const image = `${host}/cart:1`;

/** Messages as containerd, CRI-O and the kubelet format them, and what they mean. */
const messages = [
  [
    `failed to pull and unpack image "${image}": failed to resolve reference "${image}": pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials`,
    'unauthenticated',
  ],
  [
    `rpc error: code = Unknown desc = Error response from daemon: no basic auth credentials`,
    'unauthenticated',
  ],
  [
    `failed to resolve reference "${image}": unexpected status from HEAD request to https://${host}/v2/cart/manifests/1: 403 Forbidden`,
    'refused',
  ],
  [
    `failed to resolve reference "${image}": unexpected status from HEAD request to https://${host}/v2/cart/manifests/1: 401 Unauthorized`,
    'unauthenticated',
  ],
  [`failed to resolve reference "${image}": ${image}: not found`, 'not-found'],
  [
    `name unknown: The repository with name 'cart' does not exist in the registry with id '123456789012'`,
    'not-found',
  ],
  [
    `failed to do request: Head "https://${host}/v2/cart/manifests/1": dial tcp 10.0.0.1:443: i/o timeout`,
    'unreachable',
  ],
  [`failed to do request: Head "https://${host}/": dial tcp: lookup ${host}: no such host`, 'unreachable'],
  [`no match for platform in manifest: not found`, 'wrong-platform'],
  [`toomanyrequests: Rate exceeded`, 'throttled'],
  [`Back-off pulling image "${image}"`, 'unknown'],
  ['', 'unknown'],
] as const;

describe('the message of the kubelet', () => {
  for (const [message, problem] of messages) {
    it(`means ${problem}: ${message.slice(-60)}`, () => {
      assert.equal(classifyMessage(message, image).problem, problem);
    });
  }

  it('names the action that is not allowed', () => {
    const message =
      'denied: User: arn:aws:sts::111122223333:assumed-role/pull/x is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:eu-central-1:123456789012:repository/cart';
    assert.deepEqual(classifyMessage(message, image), { problem: 'refused', action: 'ecr:BatchGetImage' });
  });

  it('is not misread because of the name of an image', () => {
    const named = `${host}/denied/403/forbidden:not-authorized-to-perform`;
    assert.equal(
      classifyMessage(`failed to resolve reference "${named}": ${named}: not found`, named).problem,
      'not-found',
    );
    assert.equal(classifyMessage(`Back-off pulling image "${named}"`, named).problem, 'unknown');
  });

  it('is read from each kind of container, and only for registries that the program handles', () => {
    const waiting = (of: string, reason = 'ImagePullBackOff') => ({
      image: of,
      state: { waiting: { reason, message: `${of}: not found` } },
    });
    const status = {
      initContainerStatuses: [waiting(image, 'ErrImagePull')],
      containerStatuses: [waiting('docker.io/library/nginx:1'), waiting(image, 'CrashLoopBackOff'), 7, null],
      ephemeralContainerStatuses: [waiting(`${host}/debug:1`)],
    };
    const failures = findPullFailures({ status }, resolveRegistry);
    assert.deepEqual(
      failures.map((one) => [one.image, one.problem]),
      [
        [image, 'not-found'],
        [`${host}/debug:1`, 'not-found'],
      ],
    );
    assert.deepEqual(findPullFailures({ status: { containerStatuses: 'x' } }, resolveRegistry), []);
  });
});

describe('the cause of a failed pull', () => {
  const now = Date.parse('2026-01-02T12:00:00Z');
  const lifetime = { issuedAt: now - 3_600_000, expiresAt: now + 3_600_000 };
  const secretWith = (changes: Partial<HostStatus>) =>
    secretStatus('shop', [hostStatus('valid', { ...lifetime, ...changes })]);
  const ensure = { action: 'ensure', reason: 'ecr-image', registries: [], denied: [], patch: 'x' } as const;
  const causeOf = (
    changes: Partial<PullFacts>,
    problem: PullFacts['failure']['problem'] = 'unauthenticated',
  ) =>
    determineCause({
      failure: { image, host, problem, action: undefined },
      ...{ decision: ensure, denyingRule: undefined, hasReference: true, isSelected: true },
      ...{ secret: secretWith({}), now },
      ...changes,
    });

  it('is a missing reference, or an exclusion, for a pod without it', () => {
    const skipped = { action: 'skip', reason: 'opted-out' } as const;
    assert.equal(causeOf({ hasReference: false }), 'no-reference');
    assert.equal(causeOf({ hasReference: false, decision: skipped }), 'excluded');
    assert.equal(causeOf({ hasReference: false, isSelected: false }), 'excluded');
  });

  it('is a missing token if the Secret has no valid one', () => {
    assert.equal(causeOf({ secret: undefined }), 'no-token');
    assert.equal(causeOf({ secret: secretWith({ expiresAt: undefined }) }), 'no-token');
    assert.equal(causeOf({ secret: secretWith({ expiresAt: now - 1 }) }), 'no-token');
    assert.equal(causeOf({ secret: secretWith({ host: 'other' }) }), 'no-token');
    assert.equal(causeOf({ secret: 'unknown' }), 'unknown-token');
  });

  it('is an exclusion if a rule denies the token, with and without a reference', () => {
    const denyingRule = 'registries[0]';
    assert.equal(causeOf({ denyingRule, secret: undefined }), 'excluded');
    assert.equal(causeOf({ denyingRule, hasReference: false }), 'excluded');
    assert.equal(causeOf({ denyingRule }), 'refused'); // its token is still stored
    const skipped = { action: 'skip', reason: 'account-excluded' } as const;
    assert.equal(causeOf({ decision: skipped, secret: undefined }), 'excluded');
  });

  it('is the registry if the token was valid at the last attempt', () => {
    assert.equal(causeOf({}), 'refused');
    assert.equal(causeOf({}, 'unknown'), 'unexplained');
    const stored = secretWith({ issuedAt: now - 60_000 });
    assert.equal(causeOf({ secret: stored }), 'retrying');
    assert.equal(causeOf({ secret: stored }, 'refused'), 'refused');
    const failure = { image, host, problem: 'refused', action: 'ecr:BatchGetImage' } as const;
    assert.equal(causeOf({ failure, secret: undefined }), 'refused');
  });

  it('is never a token if the message shows that the registry accepted the credentials, or was not reached', () => {
    for (const problem of ['not-found', 'wrong-platform', 'unreachable', 'throttled'] as const) {
      assert.equal(causeOf({ hasReference: false, secret: undefined }, problem), problem);
    }
  });
});
