// Tests that settings without effect are rejected with the names of the settings that contradict each other.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { problemsOf } from './config-problems.ts';

const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const roleArn = 'arn:aws:iam::123456789012:role/x';

describe('contradictory settings', () => {
  it('rejects excluded namespaces to provision, and names both settings', () => {
    const of = (names: string[], exclude: object) =>
      problemsOf({ exclude, provisioning: { namespaces: { names } } });
    assert.deepEqual(of(['shop', 'team-1', 'lab-*'], { namespaces: ['team-*', 'lab-*'] }), [
      'provisioning.namespaces.names[1] is team-1, which exclude.namespaces excludes; remove it from one of them',
      'provisioning.namespaces.names[2] is lab-*, which exclude.namespaces excludes; remove it from one of them',
    ]);
    assert.deepEqual(of(['kube-system', 'kube-*'], { admissionNamespaces: ['kube-*'] }), [
      'provisioning.namespaces.names[1] is kube-*, which exclude.admissionNamespaces excludes; list the namespaces without *',
    ]);
    assert.deepEqual(of(['kube-system', 'team-*'], { namespaces: ['team-1', 'kube-public'] }), []);
  });

  it('rejects registries of excluded accounts', () => {
    const settings = { exclude: { accounts: ['1234*'] }, provisioning: { registries: [host] } };
    assert.deepEqual(problemsOf(settings), [
      'provisioning.registries[0] is in account 123456789012, which exclude.accounts excludes; remove it from one of them',
    ]);
    assert.deepEqual(problemsOf({ ...settings, exclude: { accounts: ['2*'] } }), []);
  });

  it('rejects registry rules that are never used', () => {
    const of = (...rules: object[]) =>
      problemsOf({ registries: rules.map((rule) => ({ ...rule, roleArn })) });
    const unused = (index: number, by: number) =>
      `registries[${index}] is never used, because registries[${by}] matches the same registries and comes first`;
    assert.deepEqual(of({}, { accounts: ['123456789012'] }), [unused(1, 0)]);
    assert.deepEqual(
      of({ accounts: ['1*'] }, { regions: ['eu-*'] }, { accounts: ['12*'], regions: ['us-*'] }),
      [unused(2, 0)],
    );
    assert.deepEqual(of({ accounts: ['123456789012'] }, { regions: ['eu-*'] }, {}), []);
    assert.deepEqual(
      of({ accounts: ['123456789012'], regions: ['eu-*'] }, { accounts: ['123456789012'] }),
      [],
    );
    assert.deepEqual(of({ regions: [] }), [
      'registries[0].regions is empty, so the rule matches no registry; omit it to match all',
    ]);
  });
});
