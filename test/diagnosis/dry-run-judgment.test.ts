// Tests how the result of a dry run is judged, and which image it uses.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readConfig } from '../../src/config/load-config.ts';
import { chooseImage } from '../../src/diagnosis/dry-run-image.ts';
import { type DryRunFacts, judgeDryRun, showsNoCall } from '../../src/diagnosis/dry-run-judgment.ts';
import { createStatusError } from '../../src/kube/errors.ts';
import { brief } from './diagnosis-fixtures.ts';

describe('a dry run', () => {
  const judge = (facts: Partial<DryRunFacts>) =>
    brief(
      judgeDryRun({
        namespace: 'shop',
        secretName: 'ecr-pull-secrets',
        image: 'host/image',
        outcome: { kind: 'admitted', pullSecrets: [] },
        exclusion: undefined,
        earlierFailure: undefined,
        hasPolicy: false,
        ...facts,
      }),
    );

  it('shows whether the webhook was called', () => {
    const result = (outcome: 'ok' | 'failed', summary: string) => ({
      check: 'webhook-dry-run',
      outcome,
      summary,
    });
    const own = '"pods.ecr-pull-secrets.io"';
    assert.equal(showsNoCall(result('failed', 'a pod with image x gets no reference')), true);
    assert.equal(showsNoCall(result('failed', `refused: webhook failed: ${own}`)), true);
    assert.equal(showsNoCall(result('failed', `refused: denied by webhook ${own}`)), false);
    assert.equal(showsNoCall(result('ok', 'the webhook adds the reference')), false);
  });

  it('is ok if the pod has the reference', () => {
    const outcome = { kind: 'admitted', pullSecrets: ['other', 'ecr-pull-secrets'] } as const;
    assert.match(judge({ outcome }), /^ok: on a dry run in namespace shop, the webhook adds/);
    assert.match(judge({ outcome, earlierFailure: 'webhook-order', exclusion: 'x' }), /^ok/);
  });

  it('fails without the reference, unless an exclusion or an earlier check explains it', () => {
    assert.match(judge({}), /^failed: .+ a pod with image host\/image gets no reference$/);
    assert.equal(judge({ exclusion: 'it is excluded' }), 'skipped: not checked, because it is excluded');
    assert.match(
      judge({ earlierFailure: 'webhook-endpoints' }),
      /^skipped: .+webhook-endpoints explains it$/,
    );
  });

  const refusal = (status: number, message: string, reason = 'Forbidden') => {
    const error = createStatusError(status, { kind: 'Status', message, reason }, 'create a pod');
    return {
      outcome: { kind: 'refused', code: error.code, cause: error.shortCause, message: error.message },
    } as const;
  };

  it('names who refused the pod, and takes that for no failure of the program', () => {
    for (const [message, cause] of [
      [
        'pods "x" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=1, limited: pods=1',
        /quota "pods"/,
      ],
      [
        'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot',
        /PodSecurity "restricted:latest"/,
      ],
      [
        'admission webhook "validate.kyverno.svc" denied the request: no',
        /denied by webhook "validate\.kyverno\.svc"/,
      ],
    ] as const) {
      const summary = judge(refusal(403, message));
      assert.match(summary, /^warning: the API server refused the pod/);
      assert.match(summary, cause);
    }
  });

  it('fails if our own webhook refuses the pod or cannot be called', () => {
    const failed =
      'Internal error occurred: failed calling webhook "pods.ecr-pull-secrets.io": failed to call webhook: x';
    assert.match(judge(refusal(500, failed, 'InternalError')), /^failed: .+webhook failed: "pods\.ecr/);
    const denied = 'admission webhook "pods.ecr-pull-secrets.io" denied the request: no token';
    assert.match(judge(refusal(403, denied, '')), /^failed/);
  });

  it('is skipped without the right to create pods, and in a namespace that does not exist', () => {
    const message =
      'pods is forbidden: User "dev" cannot create resource "pods" in API group "" in the namespace "shop"';
    assert.match(
      judge(refusal(403, message)),
      /^skipped: .+needs the right to create pods in namespace shop$/,
    );
    assert.match(
      judge(refusal(404, 'namespaces "shop" not found', 'NotFound')),
      /^skipped: .+does not exist$/,
    );
  });
});

describe('the image of a dry run', () => {
  const choose = (yaml: string) => chooseImage(readConfig(yaml, 'test'), 'shop');

  it('is of a registry that is neither excluded nor denied', () => {
    assert.match(choose('') ?? '', /^123456789012\.dkr\.ecr\./);
    assert.match(choose('exclude: { accounts: ["1234*"] }') ?? '', /^111111111111\./);
    assert.match(
      choose('registries: [{ accounts: ["123456789012"], access: deny }, { access: allow }]') ?? '',
      /^111111111111\./,
    );
    assert.equal(choose('registries: [{ access: deny }]'), undefined);
    assert.equal(choose('registries: [{ namespaces: { names: [s*] }, access: deny }]'), undefined);
    assert.match(
      choose('registries: [{ namespaces: { names: [sandbox] }, access: deny }]') ?? '',
      /^123456789012\./,
    );
    const own = '222222222222.dkr.ecr.eu-west-1.amazonaws.com';
    assert.ok(choose(`provisioning: { registries: [${own}] }`)?.startsWith(`${own}/`));
  });
});
