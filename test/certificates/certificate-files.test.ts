// Tests when certificate files are reloaded, and that invalid files keep the last valid key pair in use.
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it, type TestContext } from 'node:test';
import type { CertificateError } from '../../src/certificates/certificate-error.ts';
import { watchCertificateFiles, watchClientCa } from '../../src/certificates/certificate-files.ts';
import type { KeyPair, PemKeyPair } from '../../src/certificates/key-pair.ts';
import { eventually } from '../support/eventually.ts';
import { MountedSecret } from './mounted-secret.ts';
import { issueTestCa, issueTestServingCertificate } from './test-certificates.ts';

const now = Date.now();
const ca = await issueTestCa(now);
const [first, second, third] = await Promise.all([
  issueTestServingCertificate(ca, now),
  issueTestServingCertificate(ca, now),
  issueTestServingCertificate(ca, now),
]);
const mixed = { certPem: second.certPem, keyPem: first.keyPem };

/** Longer than any test, so that only file system events trigger a read. */
const neverMs = 3_600_000;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of cleanups.splice(0)) {
    await end();
  }
});

describe('a mounted Secret without polling', () => {
  it('is reloaded at every swap of ..data, not only at the first', async () => {
    const { secret, seen, files } = await openMounted(neverMs);
    for (const keyPair of [second, third, first]) {
      await secret.update(keyPair);
      assert.equal((await seen.next('change')).certPem, keyPair.certPem);
      assert.equal(files.current.keyPem, keyPair.keyPem);
    }
    assert.deepEqual(seen.counts(), { change: 3, problem: 0 });
  });

  it('keeps the previous key pair while the new one does not match, reports that once, and applies the corrected one', async () => {
    const { secret, seen, files } = await openMounted(neverMs);
    await secret.update(mixed);
    const problem = await seen.next('problem');
    assert.deepEqual([problem.code, problem.path], ['key-mismatch', secret.keyFile]);
    assert.equal(files.current.certPem, first.certPem);
    await secret.update(mixed);
    await secret.update(second);
    assert.equal((await seen.next('change')).certPem, second.certPem);
    assert.deepEqual(seen.counts(), { change: 1, problem: 1 });
  });

  it('reports a problem again after it had disappeared', async () => {
    const { secret, seen } = await openMounted(neverMs);
    for (const good of [second, first]) {
      await secret.update(mixed);
      await seen.next('problem');
      await secret.update(good);
      await seen.next('change');
    }
    assert.deepEqual(seen.counts(), { change: 2, problem: 2 });
  });

  it('is not reported when its content is unchanged', async () => {
    const { secret, seen } = await openMounted(neverMs);
    await secret.update(first);
    await secret.update(first);
    await secret.update(second);
    await seen.next('change');
    assert.deepEqual(seen.counts(), { change: 1, problem: 0 });
  });

  it('is applied again after onChange threw', async () => {
    const { secret, seen, files } = await openMounted(neverMs, { failures: 1 });
    await secret.update(second);
    assert.equal((await seen.next('problem')).code, 'not-applied');
    // One swap is several events, so it may have been taken by now.
    await secret.update(second);
    await seen.next('change');
    assert.equal(files.current.certPem, second.certPem);
  });

  it('is not current while onChange throws', async () => {
    const { secret, seen, files } = await openMounted(neverMs, { failures: Number.POSITIVE_INFINITY });
    await secret.update(second);
    assert.equal((await seen.next('problem')).code, 'not-applied');
    assert.equal(files.current.certPem, first.certPem);
  });

  it('is not reloaded after close', async () => {
    const { secret, seen, files } = await openMounted(neverMs);
    const other = await open(secret, neverMs);
    files.close();
    await secret.update(second);
    await other.seen.next('change');
    assert.deepEqual(seen.counts(), { change: 0, problem: 0 });
  });
});

describe('a poll detects', () => {
  it('a directory that was deleted and recreated', async () => {
    const { secret, seen, files } = await openMounted(20);
    await secret.remove();
    const problem = await seen.next('problem');
    assert.deepEqual([problem.code, problem.path], ['missing-file', secret.certFile]);
    assert.equal(files.current.certPem, first.certPem);
    await mkdir(secret.folder);
    await writeFile(secret.certFile, second.certPem);
    await writeFile(secret.keyFile, second.keyPem);
    assert.equal((await seen.next('change')).certPem, second.certPem);
  });

  it('a changed symlink of a parent directory', async () => {
    const link = join(tmpdir(), `link-${process.pid}`);
    await symlink(await plainFolder(first), link);
    cleanups.push(() => rm(link));
    const { seen } = await open({ certFile: join(link, 'tls.crt'), keyFile: join(link, 'tls.key') }, 20);
    // Twice, because the initial read may be late enough to find the first change.
    for (const keyPair of [second, third]) {
      await symlink(await plainFolder(keyPair), `${link}.new`);
      await rename(`${link}.new`, link);
      assert.equal((await seen.next('change')).certPem, keyPair.certPem);
    }
  });
});

it('applies two files that are written one after the other', async () => {
  const folder = await plainFolder(first);
  const paths = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') };
  const { seen } = await open(paths, neverMs);
  await writeFile(paths.certFile, second.certPem);
  await seen.next('problem');
  await writeFile(paths.keyFile, second.keyPem);
  assert.equal((await seen.next('change')).certPem, second.certPem);
});

describe('the first read', () => {
  it('fails with the path of the missing file', async () => {
    const folder = await plainFolder(first);
    const paths = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'none') };
    await assert.rejects(open(paths, neverMs), { code: 'missing-file', path: paths.keyFile });
  });

  it('fails with the path of a directory', async () => {
    const folder = await plainFolder(first);
    const paths = { certFile: folder, keyFile: join(folder, 'tls.key') };
    await assert.rejects(open(paths, neverMs), { code: 'unreadable-file', path: folder });
  });

  it('fails for a key that does not match', async () => {
    const folder = await plainFolder(mixed);
    const paths = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') };
    await assert.rejects(open(paths, neverMs), { code: 'key-mismatch', path: paths.keyFile });
  });
});

async function plainFolder(keyPair: PemKeyPair): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'plain-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'tls.crt'), keyPair.certPem);
  await writeFile(join(folder, 'tls.key'), keyPair.keyPem);
  return folder;
}

async function openMounted(pollIntervalMs: number, options: { failures?: number } = {}) {
  const secret = await MountedSecret.create(first);
  cleanups.push(() => secret.remove());
  return { secret, ...(await open(secret, pollIntervalMs, options)) };
}

async function open(paths: Paths, pollIntervalMs: number, { failures = 0 } = {}) {
  const seen = new ChangeRecorder();
  let remainingFailures = failures;
  const onChange = (keyPair: KeyPair) => {
    remainingFailures -= 1;
    if (remainingFailures >= 0) {
      throw new Error('not now');
    }
    seen.record('change', keyPair);
  };
  const onProblem = (error: CertificateError) => seen.record('problem', error);
  const { certFile, keyFile } = paths;
  const files = await watchCertificateFiles({ certFile, keyFile, pollIntervalMs, onChange, onProblem });
  cleanups.unshift(() => files.close());
  return { files, seen };
}

interface Paths {
  readonly certFile: string;
  readonly keyFile: string;
}
interface ReportedEvents {
  change: KeyPair;
  problem: CertificateError;
}

/** Records reported events, and waits up to ten seconds for the next one. */
class ChangeRecorder {
  readonly #reported: { [K in keyof ReportedEvents]: ReportedEvents[K][] } = { change: [], problem: [] };
  readonly #taken = { change: 0, problem: 0 };
  readonly #emitter = new EventEmitter();

  record<K extends keyof ReportedEvents>(kind: K, what: ReportedEvents[K]): void {
    this.#reported[kind].push(what);
    this.#emitter.emit('recorded');
  }

  counts(): Record<keyof ReportedEvents, number> {
    return { change: this.#reported.change.length, problem: this.#reported.problem.length };
  }

  async next<K extends keyof ReportedEvents>(kind: K): Promise<ReportedEvents[K]> {
    const signal = AbortSignal.timeout(10_000);
    for (;;) {
      const found = this.#reported[kind][this.#taken[kind]];
      if (found !== undefined) {
        this.#taken[kind] += 1;
        return found;
      }
      await once(this.#emitter, 'recorded', { signal });
    }
  }
}

describe('the CA of client certificates', () => {
  it('is reloaded when its file changes, and kept while the file is invalid', async (t) => {
    const caFile = await emptyFile(t);
    const [first, second] = await Promise.all([issueTestCa(Date.now()), issueTestCa(Date.now())]);
    await writeFile(caFile, first.certPem);
    const taken: string[] = [];
    const problems: string[] = [];
    const ca = await watchClientCa({
      caFile,
      pollIntervalMs: 50,
      onChange: (caPem) => taken.push(caPem),
      onProblem: ({ code }) => problems.push(code),
    });
    t.after(() => ca.close());
    assert.equal(ca.current, first.certPem);
    await writeFile(caFile, 'broken');
    await eventually('the problem is reported', () => problems.length > 0);
    assert.deepEqual([problems, ca.current], [['invalid-certificate'], first.certPem]);
    await writeFile(caFile, second.certPem);
    await eventually('the other CA is loaded', () => ca.current === second.certPem);
    assert.deepEqual(taken, [second.certPem]);
  });

  it('is rejected at the start: missing file, not PEM, not a CA', async (t) => {
    const caFile = await emptyFile(t);
    const options = { caFile, onChange: () => undefined, onProblem: () => undefined };
    await assert.rejects(watchClientCa({ ...options, caFile: `${caFile}-2` }), { code: 'missing-file' });
    await assert.rejects(watchClientCa(options), { code: 'invalid-certificate', path: caFile });
    const serving = await issueTestServingCertificate(await issueTestCa(Date.now()), Date.now());
    await writeFile(caFile, serving.certPem);
    await assert.rejects(watchClientCa(options), { code: 'invalid-certificate', path: caFile });
  });
});

async function emptyFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'client-ca-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'ca.crt');
  await writeFile(path, '');
  return path;
}
