// Tests where kube-apiserver and etcd are searched, and how they are built if they are missing.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { findBinaries, obtainBinaries } from './binaries.ts';
import { clusterAvailability } from './cluster-suite.ts';
import { prepareKubeletParser } from './kubelet-parser.ts';

let root = '';
let env: NodeJS.ProcessEnv = {};
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'binaries-'));
  env = { XDG_CACHE_HOME: join(root, 'cache'), PATH: join(root, 'bin') };
});
afterEach(() => rmSync(root, { recursive: true }));

describe('without KUBEBUILDER_ASSETS, cache and Go', () => {
  it('there is a reason that names all three', async () => {
    for (const search of [findBinaries(env), await obtainBinaries(env, assert.fail)]) {
      assert.ok(search.binaries === undefined && !search.buildable);
      assert.match(
        search.reason,
        /^no KUBEBUILDER_ASSETS, nothing in .*cache\/.*1\.37\.2-[0-9a-f]{12}, and no Go/,
      );
    }
    assert.equal(clusterAvailability(env).available, false);
  });

  it("there is no kubelet's parser either, for a reason that names the cache and Go", async () => {
    const reason = await prepareKubeletParser(env, assert.fail);
    assert.match(reason ?? '', /^no kubelet parser in .*cache\/.*1\.37\.2-[0-9a-f]{12}, and no Go/);
  });

  it('a cluster of TEST_KUBECONFIG will do', () => {
    assert.deepEqual(clusterAvailability({ ...env, TEST_KUBECONFIG: '/x' }), { available: true });
  });
});

describe('KUBEBUILDER_ASSETS', () => {
  it('comes first, with the version that it has', () => {
    withGo('exit 1');
    const { binaries } = findBinaries({ ...env, KUBEBUILDER_ASSETS: assets('v1.33.0') });
    assert.deepEqual([binaries?.version, binaries?.from], ['1.33.0', 'KUBEBUILDER_ASSETS']);
    assert.equal(binaries?.etcd, join(root, 'assets', 'etcd'));
  });

  it('must not be another version than K8S_VERSION asks for', () => {
    const asked = { ...env, KUBEBUILDER_ASSETS: assets('v1.33.0'), K8S_VERSION: '1.30.14' };
    assert.throws(() => findBinaries(asked), { code: 'version-mismatch' });
  });

  it('without the two programs is passed over, and named', () => {
    const search = findBinaries({ ...env, KUBEBUILDER_ASSETS: root });
    assert.ok(search.binaries === undefined);
    assert.ok(search.reason.includes(`KUBEBUILDER_ASSETS (${root})`), search.reason);
  });
});

it('K8S_VERSION that has no module names those that have', () => {
  assert.throws(() => findBinaries({ ...env, K8S_VERSION: '1.29.0' }), {
    code: 'unknown-version',
    message: 'K8S_VERSION=1.29.0 is not known here; known: 1.30.14, 1.37.2',
  });
});

describe('a build with Go', () => {
  it('goes into the cache, says so, and happens once', async () => {
    withGo(builds);
    const said: string[] = [];
    const built = await obtainBinaries({ ...env, K8S_VERSION: 'v1.30.14' }, (line) => said.push(line));
    assert.deepEqual([built.binaries?.version, built.binaries?.from], ['1.30.14', 'a build']);
    assert.match(
      said.join('\n'),
      /^building kube-apiserver and etcd of Kubernetes 1\.30\.14 with Go.*\n.*3 to 8 minutes/,
    );
    withGo('exit 1');
    const found = await obtainBinaries({ ...env, K8S_VERSION: '1.30.14' }, assert.fail);
    assert.equal(found.binaries?.from, 'the cache');
    assert.ok(existsSync(found.binaries.etcd) && existsSync(found.binaries.kubeApiServer));
  });

  it('stamps the version, and keeps to go.sum', async () => {
    withGo(`echo "$@" > ${root}/arguments; ${builds}`);
    await obtainBinaries(env, () => undefined);
    const given = readFileSync(join(root, 'arguments'), 'utf8');
    assert.match(given, /version\.gitVersion=v1\.37\.2 .*gitMajor=1 .*gitMinor=37 /);
    assert.match(given, /-mod=readonly/);
  });

  it('by two at once is one build', async () => {
    withGo(`echo run >> ${root}/runs; ${builds}`);
    const both = await Promise.all([
      obtainBinaries(env, () => undefined),
      obtainBinaries(env, () => undefined),
    ]);
    assert.ok(both.every(({ binaries }) => binaries !== undefined));
    assert.equal(readFileSync(join(root, 'runs'), 'utf8'), 'run\n');
  });

  it('does not wait for a builder that died', async () => {
    withGo(builds);
    const dead = spawn('/bin/sh', ['-c', 'exit 0']);
    await once(dead, 'exit');
    const lock = join(root, 'cache', lockName());
    mkdirSync(dirname(lock), { recursive: true });
    writeFileSync(lock, String(dead.pid));
    assert.equal((await obtainBinaries(env, assert.ok)).binaries?.from, 'a build');
  });

  it("makes the kubelet's parser, too, once", async () => {
    withGo(builds);
    assert.equal(await prepareKubeletParser(env, () => undefined), undefined);
    withGo('exit 1');
    assert.equal(await prepareKubeletParser(env, assert.fail), undefined);
    assert.match(
      (await prepareKubeletParser({ ...env, K8S_VERSION: '1.30.14' }, () => undefined)) ?? '',
      /failed/,
    );
  });

  it('that fails is a reason with what Go said, and leaves nothing behind', async () => {
    withGo('echo "no such module" >&2; exit 1');
    const search = await obtainBinaries(env, () => undefined);
    assert.ok(search.binaries === undefined);
    assert.match(search.reason, /failed:\nno such module/);
    assert.deepEqual(readdirSync(join(root, 'cache', 'ecr-pull-secrets', 'kube')), []);
  });
});

/** What a Go would do: `-o FOLDER/` gets a program for each package, named by the last part of its path. */
const builds = `while [ "$1" != -o ]; do shift; done
/bin/sleep 0.3
for name in server kube-apiserver kubelet-parser; do echo '#!/bin/sh' > "$2$name"; /bin/chmod +x "$2$name"; done`;

/** A `go` that answers `go version`, and otherwise runs the script. */
function withGo(script: string): void {
  program(join(root, 'bin', 'go'), `[ "$1" = version ] && exit 0\n${script}`);
}

function assets(version: string): string {
  const folder = join(root, 'assets');
  program(join(folder, 'kube-apiserver'), `echo Kubernetes ${version}`);
  program(join(folder, 'etcd'), '');
  return folder;
}

function program(path: string, script: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

function lockName(): string {
  const search = findBinaries({ ...env, PATH: '' });
  assert.ok(search.binaries === undefined);
  return `${/ecr-pull-secrets\/kube\/[^,]+/.exec(search.reason)?.[0]}.lock`;
}
