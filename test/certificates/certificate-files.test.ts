import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it, type TestContext } from 'node:test';
import type { CertificateError } from '../../src/certificates/certificate-error.ts';
import { openCertificateFiles, openClientCa } from '../../src/certificates/certificate-files.ts';
import type { CertificatePair, PemPair } from '../../src/certificates/key-pair.ts';
import { eventually } from '../support/eventually.ts';
import { MountedSecret } from './mounted-secret.ts';
import { testAuthority, testServing } from './test-certificates.ts';

const now = Date.now();
const authority = await testAuthority(now);
const [first, second, third] = await Promise.all([
  testServing(authority, now),
  testServing(authority, now),
  testServing(authority, now),
]);
const mixed = { certPem: second.certPem, keyPem: first.keyPem };

/** Longer than any test: what happens then happens by the watch. */
const NEVER = 3_600_000;

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

describe('a mounted Secret, by the watch alone', () => {
  it('is taken at every swap of ..data, not only at the first', async () => {
    const { secret, seen, files } = await openMounted(NEVER);
    for (const pair of [second, third, first]) {
      await secret.swap(pair);
      assert.equal((await seen.next('change')).certPem, pair.certPem);
      assert.equal(files.current.keyPem, pair.keyPem);
    }
    assert.deepEqual(seen.counts(), { change: 3, problem: 0 });
  });

  it('keeps the old pair while the new one does not fit together, says so once, takes the mended one', async () => {
    const { secret, seen, files } = await openMounted(NEVER);
    await secret.swap(mixed);
    const problem = await seen.next('problem');
    assert.deepEqual([problem.code, problem.path], ['key-mismatch', secret.keyFile]);
    assert.equal(files.current.certPem, first.certPem);
    await secret.swap(mixed);
    await secret.swap(second);
    assert.equal((await seen.next('change')).certPem, second.certPem);
    assert.deepEqual(seen.counts(), { change: 1, problem: 1 });
  });

  it('tells the same problem again when it was away in between', async () => {
    const { secret, seen } = await openMounted(NEVER);
    for (const good of [second, first]) {
      await secret.swap(mixed);
      await seen.next('problem');
      await secret.swap(good);
      await seen.next('change');
    }
    assert.deepEqual(seen.counts(), { change: 2, problem: 2 });
  });

  it('is no event when the bytes are the same', async () => {
    const { secret, seen } = await openMounted(NEVER);
    await secret.swap(first);
    await secret.swap(first);
    await secret.swap(second);
    await seen.next('change');
    assert.deepEqual(seen.counts(), { change: 1, problem: 0 });
  });

  it('is offered again when its receiver threw', async () => {
    const { secret, seen, files } = await openMounted(NEVER, { refuses: 1 });
    await secret.swap(second);
    assert.equal((await seen.next('problem')).code, 'not-taken');
    // One swap is several events, so it may have been taken by now.
    await secret.swap(second);
    await seen.next('change');
    assert.equal(files.current.certPem, second.certPem);
  });

  it('is not the current one while its receiver throws', async () => {
    const { secret, seen, files } = await openMounted(NEVER, { refuses: Number.POSITIVE_INFINITY });
    await secret.swap(second);
    assert.equal((await seen.next('problem')).code, 'not-taken');
    assert.equal(files.current.certPem, first.certPem);
  });

  it('is left alone after close', async () => {
    const { secret, seen, files } = await openMounted(NEVER);
    const other = await open(secret, NEVER);
    files.close();
    await secret.swap(second);
    await other.seen.next('change');
    assert.deepEqual(seen.counts(), { change: 0, problem: 0 });
  });
});

describe('a poll finds what no watch tells', () => {
  it('a folder that was deleted and made again', async () => {
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

  it('a symlink further up that points elsewhere', async () => {
    const link = join(tmpdir(), `link-${process.pid}`);
    await symlink(await plainFolder(first), link);
    endings.push(() => rm(link));
    const { seen } = await open({ certFile: join(link, 'tls.crt'), keyFile: join(link, 'tls.key') }, 20);
    // Twice, since the look at the start may come late enough to find the first.
    for (const pair of [second, third]) {
      await symlink(await plainFolder(pair), `${link}.new`);
      await rename(`${link}.new`, link);
      assert.equal((await seen.next('change')).certPem, pair.certPem);
    }
  });
});

it('two files written one after the other end as the new pair', async () => {
  const folder = await plainFolder(first);
  const paths = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') };
  const { seen } = await open(paths, NEVER);
  await writeFile(paths.certFile, second.certPem);
  await seen.next('problem');
  await writeFile(paths.keyFile, second.keyPem);
  assert.equal((await seen.next('change')).certPem, second.certPem);
});

describe('the first look', () => {
  it('fails with the path of the missing file', async () => {
    const folder = await plainFolder(first);
    const paths = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'none') };
    await assert.rejects(open(paths, NEVER), { code: 'missing-file', path: paths.keyFile });
  });

  it('fails with the path of what is no file', async () => {
    const folder = await plainFolder(first);
    const paths = { certFile: folder, keyFile: join(folder, 'tls.key') };
    await assert.rejects(open(paths, NEVER), { code: 'unreadable-file', path: folder });
  });

  it('fails on a pair that does not fit together', async () => {
    const folder = await plainFolder(mixed);
    const paths = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') };
    await assert.rejects(open(paths, NEVER), { code: 'key-mismatch', path: paths.keyFile });
  });
});

async function plainFolder(pair: PemPair): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'plain-'));
  endings.push(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'tls.crt'), pair.certPem);
  await writeFile(join(folder, 'tls.key'), pair.keyPem);
  return folder;
}

async function openMounted(pollIntervalMs: number, how: { refuses?: number } = {}) {
  const secret = await MountedSecret.make(first);
  endings.push(() => secret.remove());
  return { secret, ...(await open(secret, pollIntervalMs, how)) };
}

async function open(paths: Paths, pollIntervalMs: number, { refuses = 0 } = {}) {
  const seen = new Seen();
  let left = refuses;
  const onChange = (pair: CertificatePair) => {
    left -= 1;
    if (left >= 0) throw new Error('not now');
    seen.tell('change', pair);
  };
  const onProblem = (error: CertificateError) => seen.tell('problem', error);
  const { certFile, keyFile } = paths;
  const files = await openCertificateFiles({ certFile, keyFile, pollIntervalMs, onChange, onProblem });
  endings.unshift(() => files.close());
  return { files, seen };
}

type Paths = { readonly certFile: string; readonly keyFile: string };
type Told = { change: CertificatePair; problem: CertificateError };

/** What a source told so far, and the next thing it tells, within ten seconds. */
class Seen {
  readonly #told: { [K in keyof Told]: Told[K][] } = { change: [], problem: [] };
  readonly #taken = { change: 0, problem: 0 };
  readonly #bell = new EventEmitter();

  tell<K extends keyof Told>(kind: K, what: Told[K]): void {
    this.#told[kind].push(what);
    this.#bell.emit('told');
  }

  counts(): Record<keyof Told, number> {
    return { change: this.#told.change.length, problem: this.#told.problem.length };
  }

  async next<K extends keyof Told>(kind: K): Promise<Told[K]> {
    const signal = AbortSignal.timeout(10_000);
    for (;;) {
      const found = this.#told[kind][this.#taken[kind]];
      if (found !== undefined) {
        this.#taken[kind] += 1;
        return found;
      }
      await once(this.#bell, 'told', { signal });
    }
  }
}

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
