import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bundleOf, Publications, readBundle } from '../../src/certificates/ca-bundle.ts';
import { testAuthority } from './test-certificates.ts';

const [one, two] = await Promise.all([testAuthority(Date.now()), testAuthority(Date.now())]);
const [idOne = '', idTwo = ''] = readBundle(bundleOf([one, two])).authorities.map(({ id }) => id);

describe('for how long a CA has been published', () => {
  const forMs = (publications: Publications, texts: readonly string[], at: number) => {
    const { published } = publications.note(texts, at);
    return typeof published === 'object' ? Object.fromEntries(published.forMs) : published;
  };
  const both = bundleOf([two, one]);

  it('counts from when it stood in all caBundles', () => {
    const publications = new Publications();
    assert.deepEqual(forMs(publications, [bundleOf([one]), both], 10), { [idOne]: 0 });
    assert.deepEqual(forMs(publications, [both, both], 15), { [idOne]: 5, [idTwo]: 0 });
    assert.deepEqual(forMs(publications, [both, both], 18), { [idOne]: 8, [idTwo]: 3 });
  });

  it('begins anew when it was away', () => {
    const publications = new Publications();
    forMs(publications, [both], 0);
    assert.deepEqual(forMs(publications, [bundleOf([one])], 5), { [idOne]: 5 });
    assert.deepEqual(forMs(publications, [both], 7), { [idOne]: 7, [idTwo]: 0 });
  });

  it('is not known where nothing can be read, or nobody calls', () => {
    const publications = new Publications();
    assert.equal(publications.note('unknown', 0).published, 'unknown');
    assert.equal(publications.note(undefined, 0).published, 'nowhere');
    assert.equal(publications.note([], 0).published, 'nowhere');
  });
});
