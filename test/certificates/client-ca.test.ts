import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { openClientCa } from '../../src/certificates/certificate-files.ts';
import { eventually } from '../support/eventually.ts';
import { testAuthority, testServing } from './issued.ts';

describe('the CA of client certificates', () => {
  it('is picked up when its file changes, and kept while the file cannot be used', async (t) => {
    const caFile = await emptyFile(t);
    const [first, second] = await Promise.all([testAuthority(Date.now()), testAuthority(Date.now())]);
    await writeFile(caFile, first.certPem);
    const taken: string[] = [];
    const problems: string[] = [];
    const ca = await openClientCa({
      caFile,
      pollIntervalMs: 50,
      onChange: (caPem) => taken.push(caPem),
      onProblem: ({ code }) => problems.push(code),
    });
    t.after(() => ca.close());
    assert.equal(ca.current, first.certPem);
    await writeFile(caFile, 'broken');
    await eventually('the problem is reported', () => problems.length > 0);
    assert.deepEqual([problems, ca.current], [['bad-certificate'], first.certPem]);
    await writeFile(caFile, second.certPem);
    await eventually('the other CA is there', () => ca.current === second.certPem);
    assert.deepEqual(taken, [second.certPem]);
  });

  it('is refused at the start: no file, no PEM, no CA', async (t) => {
    const caFile = await emptyFile(t);
    const options = { caFile, onChange: () => undefined, onProblem: () => undefined };
    await assert.rejects(openClientCa({ ...options, caFile: `${caFile}-2` }), { code: 'missing-file' });
    await assert.rejects(openClientCa(options), { code: 'bad-certificate', path: caFile });
    const serving = await testServing(await testAuthority(Date.now()), Date.now());
    await writeFile(caFile, serving.certPem);
    await assert.rejects(openClientCa(options), { code: 'bad-certificate', path: caFile });
  });
});

async function emptyFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'client-ca-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'ca.crt');
  await writeFile(path, '');
  return path;
}
