// Tests how the webhook configuration, its rules and its order are judged.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseConfiguration } from '../../src/diagnosis/webhook-facts.ts';
import {
  type InjectionFacts,
  judgeInjection,
  judgeOrder,
  judgePolicies,
  judgeRules,
} from '../../src/diagnosis/webhook-judgments.ts';
import { brief, webhookConfiguration } from './diagnosis-fixtures.ts';

describe('the webhook configuration', () => {
  const judge = (facts: Partial<InjectionFacts>) =>
    brief(
      judgeInjection({
        own: [webhookConfiguration()],
        expectedName: 'zz-ecr-pull-secrets',
        hasPolicy: false,
        provisionsReferences: false,
        ...facts,
      }),
    );

  it('is ok if it exists', () => {
    assert.equal(judge({}), 'ok: MutatingWebhookConfiguration zz-ecr-pull-secrets exists');
    assert.match(judge({ hasPolicy: true }), /^ok: .+; a MutatingAdmissionPolicy adds references as well$/);
  });

  it('may be missing only if something else adds the reference', () => {
    assert.equal(
      judge({ own: [] }),
      'failed: MutatingWebhookConfiguration zz-ecr-pull-secrets does not exist',
    );
    assert.match(judge({ own: [], hasPolicy: true }), /^ok: a MutatingAdmissionPolicy adds the reference/);
    assert.match(judge({ own: [], provisionsReferences: true }), /^ok: only provisioning/);
  });

  it('fails if it is of another program, and warns if there are several', () => {
    const foreign = webhookConfiguration({ name: 'other.example.com' });
    assert.match(judge({ own: [foreign] }), /^failed: .+ has no webhook of the chart$/);
    const second = webhookConfiguration({}, 'zz-old-ecr-pull-secrets');
    assert.match(judge({ own: [webhookConfiguration(), second] }), /^warning: 2 Mutating/);
  });

  it('is parsed whatever it contains', () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (webhook, clientConfig) => {
        parseConfiguration({ metadata: { name: 'a' }, webhooks: [webhook, { clientConfig }] });
        parseConfiguration(webhook);
      }),
    );
  });
});

describe('the rules of the webhook', () => {
  const judge = (webhook: Record<string, unknown>) => {
    const { name, webhooks } = webhookConfiguration(webhook);
    const [first] = webhooks;
    assert.ok(first);
    return brief(judgeRules(name, first));
  };

  it('are ok as the chart installs them, with either failure policy', () => {
    assert.match(judge({}), /^ok: .+failurePolicy: Ignore, so pods are admitted without the reference/);
    assert.match(judge({ failurePolicy: 'Fail' }), /^ok: .+ are refused while no replica responds$/);
  });

  it('fail without the creation of pods', () => {
    const rule = { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] };
    for (const change of [
      { operations: ['UPDATE'] },
      { resources: ['secrets'] },
      { apiGroups: ['apps'] },
      { scope: 'Cluster' },
    ]) {
      assert.match(judge({ rules: [{ ...rule, ...change }] }), /^failed: .+ no rule for the creation/);
    }
    assert.match(judge({ rules: [] }), /^failed/);
    assert.match(
      judge({ rules: [{ ...rule, apiGroups: ['*'], resources: ['*/*'], operations: ['*'] }] }),
      /^ok/,
    );
  });

  it('fail if dry runs are refused, and warn of a selector of pods', () => {
    assert.match(judge({ sideEffects: 'Some' }), /^failed: .+ has sideEffects: Some$/);
    assert.match(judge({ objectSelector: { matchLabels: { a: 'b' } } }), /^warning: .+objectSelector/);
    assert.match(judge({ objectSelector: {} }), /^ok/);
  });
});

describe('the order of webhooks', () => {
  const other = (name: string) => webhookConfiguration({ name: 'mutate.example.com' }, name);
  const own = webhookConfiguration();

  it('matters only for webhooks for new pods that run later', () => {
    assert.match(brief(judgeOrder(own, [own, other('kyverno')], false)), /^ok: no other/);
    assert.equal(
      brief(judgeOrder(own, [own, other('zzz-rewriter')], false)),
      'warning: one webhook for pods run after this one: zzz-rewriter',
    );
    const ofServices = webhookConfiguration(
      {
        name: 'services.example.com',
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['services'] }],
      },
      'zzz-services',
    );
    assert.match(brief(judgeOrder(own, [own, ofServices], false)), /^ok/);
  });

  it('does not matter if the program sees all pods, or if a policy adds the reference', () => {
    const all = webhookConfiguration({ matchConditions: [] });
    assert.match(
      brief(judgeOrder(all, [all, other('zzz')], false)),
      /^ok: changes of images by 1 later webhook are handled/,
    );
    assert.match(brief(judgeOrder(own, [own, other('zzz')], true)), /^ok/);
  });
});

it('a policy without a binding fails', () => {
  assert.deepEqual(judgePolicies([{ name: 'p', hasBinding: false }]).map(brief), [
    'failed: MutatingAdmissionPolicy p has no MutatingAdmissionPolicyBinding',
  ]);
  assert.deepEqual(judgePolicies([{ name: 'p', hasBinding: true }]).map(brief), [
    'ok: MutatingAdmissionPolicy p exists and is bound',
  ]);
});
