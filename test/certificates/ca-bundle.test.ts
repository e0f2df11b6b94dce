// Tests since when a CA counts as published in all webhooks, which decides when its certificates may be served.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatCaBundle, PublicationTracker, parseCaBundle } from '../../src/certificates/ca-bundle.ts';
import { issueTestCa } from './test-certificates.ts';

const [one, two] = await Promise.all([issueTestCa(Date.now()), issueTestCa(Date.now())]);
const [idOne = '', idTwo = ''] = parseCaBundle(formatCaBundle([one, two])).caCertificates.map(({ id }) => id);

describe('the publication tracker', () => {
  const forMs = (publications: PublicationTracker, texts: readonly string[], at: number) => {
    const { published } = publications.recordBundles(texts, at);
    return typeof published === 'object' ? Object.fromEntries(published.forMs) : published;
  };
  const both = formatCaBundle([two, one]);

  it('measures how long a CA has been in all caBundles', () => {
    const publications = new PublicationTracker();
    assert.deepEqual(forMs(publications, [formatCaBundle([one]), both], 10), { [idOne]: 0 });
    assert.deepEqual(forMs(publications, [both, both], 15), { [idOne]: 5, [idTwo]: 0 });
    assert.deepEqual(forMs(publications, [both, both], 18), { [idOne]: 8, [idTwo]: 3 });
  });

  it('starts again after the CA was missing', () => {
    const publications = new PublicationTracker();
    forMs(publications, [both], 0);
    assert.deepEqual(forMs(publications, [formatCaBundle([one])], 5), { [idOne]: 5 });
    assert.deepEqual(forMs(publications, [both], 7), { [idOne]: 7, [idTwo]: 0 });
  });

  it('reports an unreadable or missing webhook configuration', () => {
    const publications = new PublicationTracker();
    assert.equal(publications.recordBundles('unknown', 0).published, 'unknown');
    assert.equal(publications.recordBundles(undefined, 0).published, 'no-webhook');
    assert.equal(publications.recordBundles([], 0).published, 'no-webhook');
  });
});
