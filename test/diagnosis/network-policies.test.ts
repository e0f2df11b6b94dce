// Tests what NetworkPolicies show about connections from the API server.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  hardenIfNotCalled,
  judgeNetworkPolicies,
  softenIfCalled,
} from '../../src/diagnosis/network-policies.ts';
import { brief } from './diagnosis-fixtures.ts';

describe('NetworkPolicies', () => {
  const judge = (specs: readonly unknown[], apiServerAddresses = ['10.0.0.1']) =>
    brief(
      judgeNetworkPolicies({
        policies: specs.map((spec, index) => ({ metadata: { name: `p${index}` }, spec })),
        podLabels: { app: 'x' },
        port: { number: 8443, name: 'webhook' },
        apiServerAddresses,
        isInCidr: (address, cidr) => address.startsWith(cidr.replace(/0\/.*/, '')),
      }),
    );
  const own = { podSelector: { matchLabels: { app: 'x' } }, policyTypes: ['Ingress', 'Egress'] };

  it('that select other pods, or egress only, restrict nothing', () => {
    const none = 'ok: no NetworkPolicy restricts connections to the webhook';
    assert.equal(judge([]), none);
    assert.equal(judge([{ podSelector: { matchLabels: { app: 'y' } }, policyTypes: ['Ingress'] }]), none);
    assert.equal(judge([{ podSelector: {}, policyTypes: ['Egress'] }]), none);
  });

  it('fail if none of them opens the port', () => {
    assert.match(judge([{ podSelector: {}, policyTypes: ['Ingress'] }]), /^failed: .+ port 8443/);
    assert.match(judge([{ ...own, ingress: [{ ports: [{ port: 8080 }] }] }]), /^failed/);
    assert.match(judge([{ ...own, ingress: [{ ports: [{ port: 8443, protocol: 'UDP' }] }] }]), /^failed/);
  });

  it('are ok if one of them opens the port to all or to the API server', () => {
    const denyAll = { podSelector: {}, policyTypes: ['Ingress'] };
    const from = [{ ipBlock: { cidr: '10.0.0.0/24' } }];
    for (const ingress of [
      [{}],
      [{ ports: [{ port: 8443 }] }],
      [{ ports: [{ port: 'webhook', protocol: 'TCP' }] }],
      [{ ports: [{ port: 8000, endPort: 9000 }] }],
      [{ ports: [{ port: 8443 }], from }],
    ]) {
      assert.match(judge([denyAll, { ...own, ingress }]), /^ok: NetworkPolicy p0, p1 lets/);
    }
  });

  it('warn if the addresses of the API server are not named, excepted or not known', () => {
    const block = { cidr: '10.0.0.0/24' };
    const open = (peer: unknown) => [{ ...own, ingress: [{ ports: [{ port: 8443 }], from: [peer] }] }];
    assert.match(
      judge(open({ podSelector: {} })),
      /^warning: .+does not name the API server \(10\.0\.0\.1\)$/,
    );
    assert.match(judge(open({ ipBlock: { ...block, except: ['10.0.0.0/30'] } })), /^warning/);
    assert.match(judge(open({ ipBlock: block }), []), /^warning: .+ not known$/);
    assert.match(judge(open({ ipBlock: block }), ['10.0.0.1', '10.9.0.1']), /^warning/);
  });

  it('are no failure if the webhook was called nevertheless', () => {
    const closed = { check: 'webhook-network-policy', outcome: 'failed', summary: 'closed' } as const;
    assert.equal(softenIfCalled(closed).outcome, 'warning');
    const other = { ...closed, check: 'webhook-rules' };
    assert.equal(softenIfCalled(other), other);
  });

  it('are a failure if the webhook was not called and they do not name the API server', () => {
    const unclear = { check: 'webhook-network-policy', outcome: 'warning', summary: 'unclear' } as const;
    assert.equal(hardenIfNotCalled(unclear).outcome, 'failed');
    for (const other of [
      { ...unclear, check: 'webhook-order' },
      { ...unclear, outcome: 'ok' as const },
    ]) {
      assert.equal(hardenIfNotCalled(other), other);
    }
  });
});
