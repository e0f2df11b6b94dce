// Tests which fields each manager owns according to managedFields.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseFieldOwners } from '../../src/kube/field-managers.ts';

describe('field owners', () => {
  it('have the keys of data, annotations and labels, by manager', () => {
    const managedFields = [
      {
        manager: 'ecr-pull-secrets',
        operation: 'Apply',
        fieldsType: 'FieldsV1',
        fieldsV1: {
          'f:data': { 'f:.dockerconfigjson': {} },
          'f:metadata': { 'f:annotations': { '.': {}, 'f:ecr-pull-secrets.io/hosts': {} }, 'f:labels': {} },
          'f:type': {},
        },
      },
      {
        manager: 'kubectl-label',
        operation: 'Update',
        fieldsV1: { 'f:metadata': { 'f:labels': { '.': {}, 'f:team': {} } } },
      },
    ];
    assert.deepEqual(parseFieldOwners(managedFields), [
      {
        manager: 'ecr-pull-secrets',
        data: ['.dockerconfigjson'],
        annotations: ['ecr-pull-secrets.io/hosts'],
      },
      { manager: 'kubectl-label', data: [], annotations: [], labels: ['team'] },
    ]);
  });

  it('are empty for any malformed managedFields', () => {
    for (const nothing of [undefined, null, 'x', {}, [null, 3, {}]]) {
      assert.deepEqual(parseFieldOwners(nothing), []);
    }
    fc.assert(
      fc.property(fc.anything(), (value) =>
        Array.isArray(parseFieldOwners([value, { manager: 'a', fieldsV1: value }])),
      ),
    );
  });
});
