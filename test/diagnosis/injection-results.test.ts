// Tests how doctor pod words the decision of the webhook.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readConfig } from '../../src/config/load-config.ts';
import { createDiagnosisRules } from '../../src/diagnosis/diagnosis-rules.ts';
import { describeInjection, isPullFailing } from '../../src/diagnosis/injection-results.ts';
import { unknownFacts } from '../../src/ecr/identity-facts.ts';
import { createIdentityResolver } from '../../src/ecr/identity-rules.ts';
import { createRegistryResolver } from '../../src/ecr/registry.ts';
import { decide } from '../../src/injection/decision.ts';
import { podWith } from '../support/pods.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

interface Setup {
  readonly yaml?: string;
  readonly images?: readonly string[];
  readonly annotations?: Record<string, string>;
  readonly labels?: Record<string, string>;
  readonly namespaceSelector?: unknown;
  readonly isFailing?: boolean;
}

function describePod({ yaml = '', images = [`${host}/cart:1`], annotations, ...facts }: Setup) {
  const config = readConfig(yaml, 'test');
  const resolveIdentity = createIdentityResolver(config.registries, unknownFacts);
  const rules = createDiagnosisRules(config, createRegistryResolver(config), resolveIdentity);
  const object = podWith(images, {}, annotations);
  const request = { resource: 'pods', operation: 'CREATE', namespace: 'shop', object, oldObject: null };
  return describeInjection({
    namespace: 'shop',
    decision: decide(request, rules),
    pod: object,
    labels: facts.labels,
    namespaceSelector: facts.namespaceSelector,
    isFailing: facts.isFailing ?? true,
  });
}

describe('the decision of the webhook', () => {
  for (const [name, setup, outcome, summary] of [
    ['a pod that is injected', {}, 'ok', /gives the pod the reference/],
    ['a pod without ECR', { images: ['nginx:1'] }, 'ok', /no image is in a registry/],
    [
      'an excluded account',
      { yaml: 'exclude: {accounts: ["123456789012"]}' },
      'failed',
      /exclude\.accounts .* excludes the AWS accounts/,
    ],
    [
      'an excluded account of a pod that runs',
      { yaml: 'exclude: {accounts: ["123456789012"]}', isFailing: false },
      'warning',
      /exclude\.accounts/,
    ],
    [
      'a static pod',
      { annotations: { 'kubernetes.io/config.mirror': 'x' } },
      'failed',
      /copy of a static pod/,
    ],
    [
      'a rule that denies one of two registries',
      {
        yaml: 'registries: [{accounts: ["000000000001"], access: deny}]',
        images: [`${host}/a:1`, '000000000001.dkr.ecr.eu-central-1.amazonaws.com/b:1'],
      },
      'failed',
      /registries\[0\] .* denies the namespace the tokens of 000000000001\.dkr/,
    ],
    [
      'a namespace that opted out',
      { labels: { 'ecr-pull-secrets.io/inject': 'false' } },
      'failed',
      /label ecr-pull-secrets\.io\/inject=false/,
    ],
    [
      'a namespace that the selector does not select',
      { labels: { team: 'shop' }, namespaceSelector: { matchLabels: { pull: 'yes' } } },
      'failed',
      /namespaceSelector of the webhook does not select namespace shop/,
    ],
    [
      'a namespace that the selector selects',
      {
        labels: { team: 'shop' },
        namespaceSelector: { matchExpressions: [{ key: 'team', operator: 'In', values: ['shop'] }] },
      },
      'ok',
      /gives the pod the reference/,
    ],
    [
      'a namespace whose labels are not known',
      { namespaceSelector: { matchLabels: { pull: 'yes' } } },
      'ok',
      /gives the pod the reference/,
    ],
  ] as const) {
    it(`is described for ${name}`, () => {
      const [result] = describePod(setup as Setup);
      assert.equal(result?.outcome, outcome);
      assert.match(result?.summary ?? '', summary);
      assert.equal(outcome === 'ok' || result?.remedy !== undefined, true);
    });
  }

  it('names at most five hosts that look like ECR', () => {
    const images = Array.from(
      { length: 20 },
      (_, index) => `${index}.dkr.ecr.eu-central-1.amazonaws.com/a:1`,
    );
    const results = describePod({ images });
    assert.deepEqual([results.length, results[0]?.check], [5, 'image-registry']);
  });
});

describe('a pod that cannot pull', () => {
  it('is recognized by the status of any container, whatever the status contains', () => {
    const waiting = (reason: unknown) => ({ state: { waiting: { reason } } });
    for (const field of ['initContainerStatuses', 'containerStatuses', 'ephemeralContainerStatuses']) {
      assert.ok(isPullFailing({ status: { [field]: [null, waiting('ImagePullBackOff')] } }));
    }
    for (const status of [undefined, null, 'x', {}, { containerStatuses: 'x' }]) {
      assert.equal(isPullFailing({ status }), false);
    }
    assert.equal(isPullFailing({ status: { containerStatuses: [waiting('CrashLoopBackOff')] } }), false);
  });
});
