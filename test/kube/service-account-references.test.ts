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

/** As the API server keeps it: what is empty is not there. */
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

/** What the API server makes of a patch. */
function patched(object: Stored, patch: readonly JsonPatchOperation[] | undefined): Stored {
  if (patch === undefined) return object;
  const whole: Judged[] = JSON.parse(JSON.stringify(patch));
  const { newDocument } = jsonPatch.applyPatch(structuredClone(object), whole, true);
  const { metadata, imagePullSecrets = [] } = newDocument;
  return stored(
    imagePullSecrets.map(({ name }) => name),
    metadata.annotations ?? {},
  );
}

const names = fc.option(fc.constantFrom('a', 'b', 'old', 'ours'), { nil: undefined });
const objects = fc
  .record({
    list: fc.array(names, { maxLength: 5 }),
    mark: fc.option(fc.constantFrom('ours', 'old'), { nil: undefined }),
    mine: fc.boolean(),
  })
  .map(({ list, mark, mine }) =>
    stored(list, { ...(mark !== undefined && { [annotation]: mark }), ...(mine && { mine: 'yes' }) }),
  );
const listOf = ({ imagePullSecrets = [] }: Stored) => imagePullSecrets.map(({ name }) => name ?? '');

describe('patches of references', () => {
  it('hold for the version only that was looked at', () => {
    fc.assert(
      fc.property(objects, (object) => {
        for (const patch of [
          createAddReferencePatch(read(object), 'ours'),
          createRemoveReferencePatch(read(object)),
        ]) {
          if (patch === undefined) continue;
          assert.deepEqual(patch[0], { op: 'test', path: '/metadata/resourceVersion', value: '7' });
        }
      }),
    );
  });

  it('end with the reference, and with every other entry where it was', () => {
    fc.assert(
      fc.property(objects, (object) => {
        const after = patched(object, createAddReferencePatch(read(object), 'ours'));
        const [list, entries] = [listOf(object), listOf(after)];
        assert.ok(entries.includes('ours'));
        const mark = object.metadata.annotations?.[annotation];
        const others = list.filter((name) => name !== 'ours' && name !== mark);
        assert.deepEqual(
          entries.filter((name) => name !== 'ours' && name !== mark),
          others,
        );
        assert.equal(after.metadata.annotations?.['mine'], object.metadata.annotations?.['mine']);
        assert.equal(
          createAddReferencePatch(read(after), 'ours'),
          undefined,
          'a second time there is nothing to do',
        );
      }),
    );
  });

  it('bring back what was there before, when what was added is taken away', () => {
    fc.assert(
      fc.property(objects, (object) => {
        fc.pre(read(object).managedReference === undefined);
        const added = patched(object, createAddReferencePatch(read(object), 'ours'));
        assert.deepEqual(patched(added, createRemoveReferencePatch(read(added))), object);
      }),
    );
  });

  it('take away nothing that is not marked as ours, and one entry at most', () => {
    fc.assert(
      fc.property(objects, (object) => {
        const mark = read(object).managedReference;
        const after = patched(object, createRemoveReferencePatch(read(object)));
        const lost = listOf(object).length - listOf(after).length;
        assert.equal(lost, mark !== undefined && listOf(object).includes(mark) ? 1 : 0);
        if (mark === undefined) assert.deepEqual(after, object);
        assert.equal(read(after).managedReference, undefined);
      }),
    );
  });
});
