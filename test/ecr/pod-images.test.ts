// Tests that the ECR images of a pod are found in every field that can name one.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { getPodImages, getPodRegistries } from '../../src/ecr/pod-images.ts';
import { resolveRegistry } from '../support/registries.ts';

const east = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const west = '123456789012.dkr.ecr.us-west-2.amazonaws.com';

describe('images of a pod', () => {
  const pod = {
    spec: {
      initContainers: [{ name: 'i', image: `${east}/init:1` }],
      containers: [{ name: 'a', image: 'busybox' }, { name: 'b', image: `${west}/app:1` }, { name: 'c' }],
      ephemeralContainers: [{ name: 'e', image: `${east}/debug:1` }],
      volumes: [
        { name: 'v', image: { reference: `${west}/model:1` } },
        { name: 'w', emptyDir: {} },
      ],
    },
  };

  it('are found in every field of a pod that can name one', () => {
    assert.deepEqual(getPodImages(pod), [
      `${east}/init:1`,
      'busybox',
      `${west}/app:1`,
      `${east}/debug:1`,
      `${west}/model:1`,
    ]);
  });

  it('return each ECR registry once', () => {
    assert.deepEqual(
      getPodRegistries(pod, resolveRegistry).map((registry) => registry.host),
      [east, west],
    );
  });

  it('are none in anything that is not a pod', () => {
    for (const odd of [undefined, null, 7, 'pod', [], {}, { spec: null }, { spec: { containers: {} } }]) {
      assert.deepEqual(getPodImages(odd), []);
    }
    assert.deepEqual(
      getPodImages({ spec: { containers: [null, 3, { image: 4 }, { image: {} }], volumes: 'x' } }),
      [],
    );
  });

  it('never cause an error, whatever the JSON is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (containers, volumes) => {
        getPodRegistries({ spec: { containers, volumes } }, resolveRegistry);
      }),
    );
  });
});
