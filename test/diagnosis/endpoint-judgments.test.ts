// Tests how endpoints and connections are judged.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judgeEndpoints, judgeProbe, type ServiceFacts } from '../../src/diagnosis/endpoint-judgments.ts';
import { brief } from './diagnosis-fixtures.ts';

const target = { kind: 'service', namespace: 'pulls', name: 'web', port: 443 } as const;

describe('the endpoints of the Service', () => {
  const deployment = {
    ...{ name: 'web', component: 'webhook', serviceAccount: 'web', podLabels: {} },
    ...{ webhookPort: 8443, tlsSecret: undefined, desired: 2, ready: 0 },
  };
  const judge = (facts: Partial<ServiceFacts>) =>
    brief(
      judgeEndpoints({
        ...{ target, exists: true, deployment },
        endpoints: { ready: 0, notReady: 0, addresses: [] },
        ...facts,
      }),
    );

  it('are ok if one is ready', () => {
    const endpoints = { ready: 2, notReady: 1, addresses: [] };
    assert.equal(judge({ endpoints }), 'ok: Service pulls/web has 2 ready endpoints');
  });

  it('name the reason if none is ready', () => {
    assert.equal(
      judge({ exists: false }),
      'failed: Service pulls/web, which the API server calls, does not exist',
    );
    assert.match(judge({ deployment: { ...deployment, desired: 0 } }), /scaled to 0 replicas$/);
    assert.match(
      judge({ deployment: { ...deployment, ready: 2 } }),
      /although Deployment web has 2 ready pods$/,
    );
    const endpoints = { ready: 0, notReady: 2, addresses: [] };
    assert.equal(judge({ endpoints }), 'failed: Service pulls/web has no ready endpoints (2 are not ready)');
    assert.match(judge({ deployment: undefined }), /^failed: .+no ready endpoints$/);
  });
});

describe('a connection', () => {
  it('that fails is a failure only where the API server would fail too', () => {
    const url = { kind: 'url', url: 'https://webhook.example.com/mutate' } as const;
    assert.equal(
      brief(judgeProbe(target, { chain: [] }, false)),
      'ok: Service pulls/web accepts connections',
    );
    assert.equal(
      brief(judgeProbe(url, { problem: 'refused' }, true)),
      'failed: https://webhook.example.com/mutate refuses connections',
    );
    assert.match(
      brief(judgeProbe(url, { problem: 'refused' }, false)),
      /^skipped: .+different for the API server$/,
    );
    assert.match(brief(judgeProbe(target, { problem: 'timeout' }, true)), /^skipped/);
  });
});
