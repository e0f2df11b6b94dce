// Tests which files AWS_CA_BUNDLE accepts.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readCaBundle } from '../../src/ecr/aws-ca-bundle.ts';
import { issueTestCa } from '../certificates/test-certificates.ts';

describe('AWS_CA_BUNDLE', () => {
  let directory: string;
  let certificate: string;
  let key: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ca-bundle-'));
    ({ certPem: certificate, keyPem: key } = await issueTestCa(Date.now()));
  });
  after(() => rm(directory, { recursive: true }));

  async function read(text: string) {
    const file = join(directory, 'bundle.pem');
    await writeFile(file, text);
    return readCaBundle({ AWS_CA_BUNDLE: file });
  }

  it('is optional', () => {
    assert.deepEqual(readCaBundle({}), { problems: [] });
    assert.deepEqual(readCaBundle({ AWS_CA_BUNDLE: '' }), { problems: [] });
  });

  it('may contain several certificates, text between them, and any line endings', async () => {
    const text = `# one\r\n${certificate.replaceAll('\n', '\r\n')}# two\n${certificate}`;
    const { certificates, problems } = await read(text);
    assert.deepEqual([certificates?.length, problems], [2, []]);
  });

  it('is rejected without a certificate, and if one cannot be parsed', async () => {
    const broken = certificate.replace(/\n[A-Za-z\d+/]{10}/, '\ncanary0000');
    for (const [text, problem] of [
      ['', 'names a file without a CA certificate in PEM format'],
      ['canary', 'names a file without a CA certificate in PEM format'],
      [key, 'names a file without a CA certificate in PEM format'],
      [certificate.slice(0, 200), 'names a file without a CA certificate in PEM format'],
      [`${certificate}${broken}`, 'names a file whose certificate number 2 cannot be parsed'],
    ] as const) {
      assert.deepEqual(await read(text), { problems: [{ path: 'AWS_CA_BUNDLE', text: problem }] });
    }
  });

  it('is rejected if it is not a file', () => {
    const problemOf = (file: string) => readCaBundle({ AWS_CA_BUNDLE: file }).problems[0]?.text;
    assert.equal(problemOf(directory), 'names a file that cannot be read (EISDIR)');
    assert.equal(problemOf(join(directory, 'none')), 'names a file that cannot be read (ENOENT)');
  });
});
