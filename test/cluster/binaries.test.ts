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
import { getClusterAvailability } from './cluster-suite.ts';
import { prepareKubeletParser } from './kubelet-parser.ts';

let root = '';
let env: NodeJS.ProcessEnv = {};
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'binaries-'));
  env = { XDG_CACHE_HOME: join(root, 'cache'), PATH: join(root, 'bin') };
});
afterEach(() => rmSync(root, { recursive: true }));

describe('without KUBEBUILDER_ASSETS, cache and Go', () => {
  it('no programs are found, and the reason names all three', async () => {
    for (const search of [findBinaries(env), await obtainBinaries(env, assert.fail)]) {
      assert.ok(search.binaries === undefined && !search.buildable);
      assert.match(
        search.reason,
        /^no KUBEBUILDER_ASSETS, nothing in .*cache\/.*1\.37\.2-[0-9a-f]{12}, and no Go/,
      );
    }
    assert.equal(getClusterAvailability(env).available, false);
  });

  it("the kubelet's parser is not found either, and the reason names the cache and Go", async () => {
    const reason = await prepareKubeletParser(env, assert.fail);
    assert.match(reason ?? '', /^no kubelet parser in .*cache\/.*1\.37\.2-[0-9a-f]{12}, and no Go/);
  });

  it('the cluster of TEST_KUBECONFIG is available', () => {
    assert.deepEqual(getClusterAvailability({ ...env, TEST_KUBECONFIG: '/x' }), { available: true });
  });
});

describe('KUBEBUILDER_ASSETS', () => {
  it('takes precedence, with the version of its programs', () => {
    installFakeGo('exit 1');
    const { binaries } = findBinaries({ ...env, KUBEBUILDER_ASSETS: createAssets('v1.33.0') });
    assert.deepEqual([binaries?.version, binaries?.from], ['1.33.0', 'KUBEBUILDER_ASSETS']);
    assert.equal(binaries?.etcd, join(root, 'assets', 'etcd'));
  });

  it('is rejected if it has another version than K8S_VERSION', () => {
    const environment = { ...env, KUBEBUILDER_ASSETS: createAssets('v1.33.0'), K8S_VERSION: '1.30.14' };
    assert.throws(() => findBinaries(environment), { code: 'version-mismatch' });
  });

  it('is skipped without the two programs, and named in the reason', () => {
    const search = findBinaries({ ...env, KUBEBUILDER_ASSETS: root });
    assert.ok(search.binaries === undefined);
    assert.ok(search.reason.includes(`KUBEBUILDER_ASSETS (${root})`), search.reason);
  });
});

it('an unknown K8S_VERSION is rejected with the list of known versions', () => {
  assert.throws(() => findBinaries({ ...env, K8S_VERSION: '1.29.0' }), {
    code: 'unknown-version',
    message: 'K8S_VERSION=1.29.0 is not known here; known: 1.30.14, 1.37.2',
  });
});

describe('a build with Go', () => {
  it('is stored in the cache, reported, and not repeated', async () => {
    installFakeGo(buildScript);
    const lines: string[] = [];
    const built = await obtainBinaries({ ...env, K8S_VERSION: 'v1.30.14' }, (line) => lines.push(line));
    assert.deepEqual([built.binaries?.version, built.binaries?.from], ['1.30.14', 'a build']);
    assert.match(
      lines.join('\n'),
      /^building kube-apiserver and etcd of Kubernetes 1\.30\.14 with Go.*\n.*3 to 8 minutes/,
    );
    installFakeGo('exit 1');
    const found = await obtainBinaries({ ...env, K8S_VERSION: '1.30.14' }, assert.fail);
    assert.equal(found.binaries?.from, 'the cache');
    assert.ok(existsSync(found.binaries.etcd) && existsSync(found.binaries.kubeApiServer));
  });

  it('sets the version in the programs, and does not change go.sum', async () => {
    installFakeGo(`echo "$@" > ${root}/arguments; ${buildScript}`);
    await obtainBinaries(env, () => undefined);
    const goArguments = readFileSync(join(root, 'arguments'), 'utf8');
    assert.match(goArguments, /version\.gitVersion=v1\.37\.2 .*gitMajor=1 .*gitMinor=37 /);
    assert.match(goArguments, /-mod=readonly/);
  });

  it('happens once for two simultaneous callers', async () => {
    installFakeGo(`echo run >> ${root}/runs; ${buildScript}`);
    const results = await Promise.all([
      obtainBinaries(env, () => undefined),
      obtainBinaries(env, () => undefined),
    ]);
    assert.ok(results.every(({ binaries }) => binaries !== undefined));
    assert.equal(readFileSync(join(root, 'runs'), 'utf8'), 'run\n');
  });

  it('does not wait for a builder whose process is gone', async () => {
    installFakeGo(buildScript);
    const exited = spawn('/bin/sh', ['-c', 'exit 0']);
    await once(exited, 'exit');
    const lock = join(root, 'cache', getLockName());
    mkdirSync(dirname(lock), { recursive: true });
    writeFileSync(lock, String(exited.pid));
    assert.equal((await obtainBinaries(env, assert.ok)).binaries?.from, 'a build');
  });

  it("also creates the kubelet's parser, once", async () => {
    installFakeGo(buildScript);
    assert.equal(await prepareKubeletParser(env, () => undefined), undefined);
    installFakeGo('exit 1');
    assert.equal(await prepareKubeletParser(env, assert.fail), undefined);
    assert.match(
      (await prepareKubeletParser({ ...env, K8S_VERSION: '1.30.14' }, () => undefined)) ?? '',
      /failed/,
    );
  });

  it('that fails returns the output of Go as the reason, and leaves no files', async () => {
    installFakeGo('echo "no such module" >&2; exit 1');
    const search = await obtainBinaries(env, () => undefined);
    assert.ok(search.binaries === undefined);
    assert.match(search.reason, /failed:\nno such module/);
    assert.deepEqual(readdirSync(join(root, 'cache', 'ecr-pull-secrets', 'kube')), []);
  });
});

/** Creates in `-o FOLDER/` a program for each package, as Go does, named after the last part of its path. */
const buildScript = `while [ "$1" != -o ]; do shift; done
/bin/sleep 0.3
for name in server kube-apiserver kubelet-parser; do echo '#!/bin/sh' > "$2$name"; /bin/chmod +x "$2$name"; done`;

/** Installs a `go` that supports `go version`, and otherwise runs the script. */
function installFakeGo(script: string): void {
  writeProgram(join(root, 'bin', 'go'), `[ "$1" = version ] && exit 0\n${script}`);
}

function createAssets(version: string): string {
  const folder = join(root, 'assets');
  writeProgram(join(folder, 'kube-apiserver'), `echo Kubernetes ${version}`);
  writeProgram(join(folder, 'etcd'), '');
  return folder;
}

function writeProgram(path: string, script: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

function getLockName(): string {
  const search = findBinaries({ ...env, PATH: '' });
  assert.ok(search.binaries === undefined);
  return `${/ecr-pull-secrets\/kube\/[^,]+/.exec(search.reason)?.[0]}.lock`;
}
