// Tests which pods get the reference in each mode, if other webhooks introduce their ECR images (docs/how-to/rewritten-images.md).
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { type Pod, podWith } from '../support/pods.ts';
import type { RunningProgram } from '../support/program.ts';
import { describeChartOnCluster, itWithPolicy } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { registry } from './install-modes.ts';
import { addSidecar, getImages, isRewritten, LateWebhooks, toPullThroughCache } from './late-webhooks.ts';
import { getLocalProgramValues, installWithLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';

type Registration = Parameters<LateWebhooks['register']>;

/** What other webhooks do with a pod whose own image is not in ECR. */
interface Sequence {
  readonly webhooks: readonly Registration[];
  readonly images: readonly string[];
}

const app = 'ghcr.io/example/app:1';
const sidecarImage = `${registry}/hashicorp/vault:1.20`;

const sequences = {
  'rewritten before': {
    webhooks: [['kyverno-resource-mutating-webhook-cfg', 'IfNeeded', toPullThroughCache]],
    images: ['docker.io/library/nginx:1'],
  },
  'rewritten after': {
    webhooks: [['zzz-rewriter', 'IfNeeded', toPullThroughCache]],
    images: ['docker.io/library/nginx:1'],
  },
  'sidecar, then rewritten': {
    webhooks: [
      ['a-sidecar-injector', 'Never', addSidecar],
      ['kyverno-resource-mutating-webhook-cfg', 'IfNeeded', toPullThroughCache],
    ],
    images: [app],
  },
  'sidecar, then rewritten in the second pass': {
    webhooks: [
      ['kyverno-resource-mutating-webhook-cfg', 'IfNeeded', toPullThroughCache],
      ['vault-agent-injector-cfg', 'Never', addSidecar],
    ],
    images: [app],
  },
} satisfies Record<string, Sequence>;

type SequenceName = keyof typeof sequences;

type Outcome = 'injected' | 'missed';

/** Whether pods of each sequence get the reference. */
type Outcomes = Readonly<Record<SequenceName, Outcome>>;

const allInjected: Outcomes = {
  'rewritten before': 'injected',
  'rewritten after': 'injected',
  'sidecar, then rewritten': 'injected',
  'sidecar, then rewritten in the second pass': 'injected',
};
const missedInSecondPass = { 'sidecar, then rewritten in the second pass': 'missed' } as const;
const allPods = { match: 'allPods' };

describeChartOnCluster('images that other webhooks rewrite to ECR', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  let late: LateWebhooks;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    program = await installWithLocalProgram(cluster(), release, ecr, { injection: 'webhook' });
    late = new LateWebhooks(cluster());
  });
  after(async () => {
    await program?.stop();
    await release?.uninstall();
    await ecr.stop();
  });

  const create = async ({ webhooks, images }: Sequence) => {
    const expected = webhooks.length === 1 ? `${registry}/library/nginx:1` : sidecarImage;
    const pod = (): Pod => podWith(images, { imagePullSecrets: [{ name: 'mine' }] });
    return await late.create(pod, (stored) => isRewritten(stored) && getImages(stored).includes(expected));
  };
  const countRequests = async () => {
    const counts = (await program.metrics()).matchAll(
      /^ecr_pull_secrets_admission_requests_total.* (\d+)$/gm,
    );
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };

  /** Waits until the API server calls the program for the pods for which the mode calls it, and for no others. */
  const untilCalledAsIn = async (values: Values) => {
    const namespace = await cluster().createNamespace('probe');
    const called = async (image: string) => {
      const before = await countRequests();
      await cluster().request('POST', `/api/v1/namespaces/${namespace}/pods`, podWith([image]));
      return (await countRequests()) > before;
    };
    const expected = [hasWebhook(values), values['webhook'] === allPods];
    await eventually('the API server uses the new webhook configuration', async () => {
      const found = [await called(`${registry}/app:1`), await called('busybox')];
      return found.join() === expected.join();
    });
  };

  const assertOutcome = async (name: string, sequence: Sequence, outcome: Outcome) => {
    for (const registration of sequence.webhooks) {
      await late.register(...registration);
    }
    if (outcome === 'missed') {
      assert.deepEqual(await create(sequence), ['mine'], name);
      return;
    }
    await eventually(`${name}: injected`, async () => {
      const pullSecrets = await create(sequence);
      assert.equal(pullSecrets[0], 'mine');
      return pullSecrets.join() === 'mine,ecr-pull-secrets';
    });
  };

  const assertMode = async (values: Values, outcomes: Outcomes) => {
    await release.upgrade(getLocalProgramValues(values, hasWebhook(values) ? program : undefined));
    await untilCalledAsIn(values);
    for (const [name, sequence] of Object.entries(sequences) as [SequenceName, Sequence][]) {
      await assertOutcome(name, sequence, outcomes[name]).finally(() => late.removeAll());
    }
  };

  // In this order, each mode injects a pod that the previous one missed, or calls the program for other pods than the previous one,
  // so that the tests notice when the API server uses the new mode.
  it('are missed by the webhook if they are rewritten after it, or in the second pass', () =>
    assertMode(
      { injection: 'webhook' },
      { ...allInjected, ...missedInSecondPass, 'rewritten after': 'missed' },
    ));

  it('are always found by the webhook with webhook.match: allPods', () =>
    assertMode({ injection: 'webhook', webhook: allPods }, allInjected));

  itWithPolicy(cluster, 'are always found by policy and webhook with webhook.match: allPods', () =>
    assertMode({ injection: 'both', webhook: allPods }, allInjected),
  );

  itWithPolicy(cluster, 'are found by policy and webhook unless they are rewritten in the second pass', () =>
    assertMode({ injection: 'both' }, { ...allInjected, ...missedInSecondPass }),
  );

  itWithPolicy(cluster, 'are found by the policy unless they are rewritten in the second pass', () =>
    assertMode(
      { injection: 'policy', config: { provisioning: { registries: [registry] } } },
      { ...allInjected, ...missedInSecondPass },
    ),
  );
});

/** Whether the mode has a webhook. The chart refuses `webhook.url` without one. */
function hasWebhook(values: Values): boolean {
  return values['injection'] !== 'policy';
}
