// Tests the JSON patches that add and remove a reference of a ServiceAccount.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import jsonPatch, { type Operation as Judged } from 'fast-json-patch';
import {
  createAddReferencePatch,
  createRemoveReferencePatch,
} from '../../src/kube/service-account-references.ts';
import {
  type JsonPatchOperation,
  parseServiceAccount,
  type ServiceAccount,
} from '../../src/kube/service-accounts.ts';

const annotation = 'ecr-pull-secrets.io/pull-secret';

interface Stored {
  metadata: Record<string, unknown> & { annotations?: Record<string, string> };
  imagePullSecrets?: { name?: string }[];
}

/** As the API server stores it, without empty fields. */
function stored(pullSecrets: readonly (string | undefined)[], annotations: Record<string, string>): Stored {
  return {
    metadata: {
      ...{ namespace: 'n', name: 'default', uid: 'u', resourceVersion: '7' },
      ...(Object.keys(annotations).length > 0 && { annotations }),
    },
    ...(pullSecrets.length > 0 && {
      imagePullSecrets: pullSecrets.map((name) => (name === undefined ? {} : { name })),
    }),
  };
}

function read(object: Stored): ServiceAccount {
  const account = parseServiceAccount(object);
  assert.ok(account);
  return account;
}

/** Applies a patch as the API server does. */
function patched(object: Stored, patch: readonly JsonPatchOperation[] | undefined): Stored {
  if (patch === undefined) {
    return object;
  }
  const whole: Judged[] = JSON.parse(JSON.stringify(patch));
  const { newDocument } = jsonPatch.applyPatch(structuredClone(object), whole, true);
  const { metadata, imagePullSecrets = [] } = newDocument;
  return stored(
    imagePullSecrets.map(({ name }) => name),
    metadata.annotations ?? {},
  );
}

const names = fc.option(fc.constantFrom('a', 'b', 'old', 'managed'), { nil: undefined });
const objects = fc
  .record({
    list: fc.array(names, { maxLength: 5 }),
    mark: fc.option(fc.constantFrom('managed', 'old'), { nil: undefined }),
    mine: fc.boolean(),
  })
  .map(({ list, mark, mine }) =>
    stored(list, { ...(mark !== undefined && { [annotation]: mark }), ...(mine && { mine: 'yes' }) }),
  );
const listOf = ({ imagePullSecrets = [] }: Stored) => imagePullSecrets.map(({ name }) => name ?? '');

describe('patches of references', () => {
  it('apply only to the version that was read', () => {
    fc.assert(
      fc.property(objects, (object) => {
        for (const patch of [
          createAddReferencePatch(read(object), 'managed'),
          createRemoveReferencePatch(read(object)),
        ]) {
          if (patch === undefined) {
            continue;
          }
          assert.deepEqual(patch[0], { op: 'test', path: '/metadata/resourceVersion', value: '7' });
        }
      }),
    );
  });

  it('add the reference and keep every other entry in place', () => {
    fc.assert(
      fc.property(objects, (object) => {
        const after = patched(object, createAddReferencePatch(read(object), 'managed'));
        const [list, entries] = [listOf(object), listOf(after)];
        assert.ok(entries.includes('managed'));
        const mark = object.metadata.annotations?.[annotation];
        const others = list.filter((name) => name !== 'managed' && name !== mark);
        assert.deepEqual(
          entries.filter((name) => name !== 'managed' && name !== mark),
          others,
        );
        assert.equal(after.metadata.annotations?.['mine'], object.metadata.annotations?.['mine']);
        assert.equal(
          createAddReferencePatch(read(after), 'managed'),
          undefined,
          'a second time there is nothing to do',
        );
      }),
    );
  });

  it('restore the original when the reference is removed', () => {
    fc.assert(
      fc.property(objects, (object) => {
        fc.pre(read(object).managedReference === undefined);
        const added = patched(object, createAddReferencePatch(read(object), 'managed'));
        assert.deepEqual(patched(added, createRemoveReferencePatch(read(added))), object);
      }),
    );
  });

  it('remove only a managed reference, and at most one entry', () => {
    fc.assert(
      fc.property(objects, (object) => {
        const mark = read(object).managedReference;
        const after = patched(object, createRemoveReferencePatch(read(object)));
        const lost = listOf(object).length - listOf(after).length;
        assert.equal(lost, mark !== undefined && listOf(object).includes(mark) ? 1 : 0);
        if (mark === undefined) {
          assert.deepEqual(after, object);
        }
        assert.equal(read(after).managedReference, undefined);
      }),
    );
  });
});
