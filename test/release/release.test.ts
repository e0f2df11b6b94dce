// Tests a dry run of a release: built for two architectures, published to local registries, pulled back and rendered.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';
import { parse } from 'yaml';
import packageJson from '../../package.json' with { type: 'json' };
import { type Helm, obtainHelm } from '../chart/helm.ts';
import { readLastStage } from '../image/test-image.ts';
import { bundleInto } from '../support/program.ts';
import { declareUnless } from '../support/required-tools.ts';
import { type ProcessOutput, runProgram } from '../support/run-program.ts';
import {
  createReleaseEnvironment,
  findReleaseTestObstacle,
  type LoopbackRegistry,
  startLoopbackRegistry,
} from './release-tools.ts';

const root = join(import.meta.dirname, '../..');
const { name, version } = packageJson;
const architectures = ['amd64', 'arm64'];
const nodeVersion = '24.9.1';
const repository = 'https://github.com/example/fork';

const suite = 'a dry run of a release';

declareUnless(findReleaseTestObstacle(process.env), suite, () =>
  describe(suite, () => {
    let folder = '';
    let env: NodeJS.ProcessEnv = {};
    let registry: LoopbackRegistry;
    let helm: Helm;
    let released: { image: string; images: Record<string, string>; chart: string };
    const sources = () => join(folder, 'sources');
    const output = (...path: string[]) => join(sources(), 'dist/release', ...path);
    const image = () => `${registry.host}/team/${name}`;

    const run = (program: string, args: readonly string[]): Promise<ProcessOutput> =>
      runProgram(program, args, { cwd: sources(), env, timeout: 300_000 });
    const runSuccessfully = async (program: string, args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await run(program, args);
      assert.equal(code, 0, `${program} ${args.join(' ')}: ${stdout}${stderr}`);
      return stdout;
    };
    const release = (...args: string[]) => [join(sources(), 'release/release.ts'), ...args];
    const inspect = async (...args: string[]) =>
      JSON.parse(await runSuccessfully('skopeo', ['inspect', '--tls-verify=false', ...args]));

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'release-'));
      [registry, helm, env] = await Promise.all([
        startLoopbackRegistry(),
        obtainHelm(),
        createReleaseEnvironment(folder),
      ]);
      env = { ...env, CONTAINERS_STORAGE_CONF: writeStorageConfiguration(folder) };
      copySources(sources());
      const contexts = await createBuildContexts(folder);
      const file = join(folder, 'Dockerfile');
      writeFileSync(
        file,
        `FROM scratch\nARG TARGETARCH\nCOPY --from=base /$TARGETARCH/ /\n${readLastStage()}`,
      );
      const flags = ['--unreleased', '--repository', repository];
      const build = ['--file', file, ...contexts, '--label', 'org.opencontainers.image.revision=abc'];
      await runSuccessfully(process.execPath, release('prepare', '--tag', `v${version}`, ...flags, ...build));
      const targets = ['--image', image(), '--charts', `${registry.host}/charts`, '--plain-http'];
      const outputs = ['--outputs', join(folder, 'outputs')];
      await runSuccessfully(process.execPath, release('publish', ...targets, ...flags, ...outputs));
      released = JSON.parse(readFileSync(output('release.json'), 'utf8'));
    });
    after(async () => {
      await registry.stop();
      await rm(folder, { recursive: true, force: true });
    });

    it('pushes one image index with an image for each architecture, with files, user and labels', async () => {
      const { stdout } = await run('skopeo', [
        ...['inspect', '--raw', '--tls-verify=false', `docker://${image()}:${version}`],
      ]);
      assert.equal(`${image()}@${sha256(stdout)}`, released.image);
      const index = JSON.parse(stdout);
      assert.equal(index.mediaType, 'application/vnd.oci.image.index.v1+json');
      assert.deepEqual(
        Object.fromEntries(
          index.manifests.map(
            ({ digest, platform }: { digest: string; platform: Record<string, string> }) => [
              `${platform['os']}/${platform['architecture']}`,
              `${image()}@${digest}`,
            ],
          ),
        ),
        released.images,
      );
      assert.deepEqual(
        Object.keys(released.images).sort(),
        architectures.map((architecture) => `linux/${architecture}`),
      );
      for (const [platform, reference] of Object.entries(released.images)) {
        const { architecture, config } = await inspect('--config', `docker://${reference}`);
        assert.equal(`linux/${architecture}`, platform);
        assert.equal(config.User, '65532:65532');
        assert.equal(config.Labels['org.opencontainers.image.revision'], 'abc');
        assert.equal(config.Entrypoint.at(-1), '/app/main.mjs');
      }
    });

    it('publishes a chart that names this image in its values and its README, and nothing of the sources', async () => {
      const chart = join(folder, 'pulled');
      const pull = ['pull', `oci://${released.chart}`, '--plain-http', '--untar', '--untardir', chart];
      const { code, stdout, stderr } = await helm.run(pull);
      assert.equal(code, 0, stderr);
      const digest = released.chart.split('@')[1] ?? '';
      assert.ok(`${stdout}${stderr}`.includes(`Digest: ${digest}`), `${stdout}${stderr}`);
      const read = (path: string) => readFileSync(join(chart, name, path), 'utf8');
      const [reference, imageDigest] = released.image.split('@');
      const values = parse(read('values.yaml'));
      assert.deepEqual([values.image.repository, values.image.digest], [reference, imageDigest]);
      const readme = read('README.md');
      assert.ok(readme.includes(`oci://${registry.host}/charts/${name} --version ${version} -n ${name}`));
      assert.ok(readme.includes(`${repository}/blob/v${version}/docs/how-to/aws-credentials.md`));
      for (const text of [readme, read('values.yaml')]) {
        assert.doesNotMatch(text, /no public image|\]\(\.\.\/| charts\/ecr-pull-secrets/);
      }
      const rendered = await helm.run(['template', name, join(chart, name), '--namespace', name]);
      assert.equal(rendered.code, 0, rendered.stderr);
      const images = [...rendered.stdout.matchAll(/^ *(?:- )?image: "?([^"\n]+)/gm)].map(
        ([, found]) => found,
      );
      assert.deepEqual([...new Set(images)], [released.image]);
    });

    it('has a valid bill of materials for each architecture, with the Node.js of that image', async () => {
      const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
      for (const architecture of architectures) {
        const text = readFileSync(output('assets', `${name}-image-linux-${architecture}.sbom.json`), 'utf8');
        assert.equal(await validator.validate(text), null);
        const purls: string[] = JSON.parse(text).components.map(({ purl }: { purl: string }) => purl);
        const base = purls.filter((purl) => !purl.startsWith('pkg:npm/'));
        assert.deepEqual(base, [
          `pkg:deb/debian/libc6@2.36?arch=${architecture}`,
          `pkg:generic/node@${nodeVersion}`,
        ]);
      }
    });

    it('has checksums of all attachments, which sha256sum accepts, and the krew manifest of the command line', async () => {
      const assets = readdirSync(output('assets')).sort();
      assert.deepEqual(assets, [
        'THIRD-PARTY-LICENSES',
        'checksums.txt',
        `${name}-${version}.tgz`,
        `${name}-cli-${version}.tgz`,
        `${name}-image-linux-amd64.sbom.json`,
        `${name}-image-linux-arm64.sbom.json`,
        `${name}.yaml`,
      ]);
      const checked = await runProgram('sha256sum', ['--check', 'checksums.txt'], { cwd: output('assets') });
      assert.equal(checked.code, 0, checked.stderr);
      assert.equal(checked.stdout.match(/: OK$/gm)?.length, assets.length - 1);
      const [platform] = parse(readFileSync(output('assets', `${name}.yaml`), 'utf8')).spec.platforms;
      assert.equal(platform.uri, `${repository}/releases/download/v${version}/${name}-cli-${version}.tgz`);
    });

    it('has the notes of the changelog, with links to the files of the tag and the references', () => {
      const notes = readFileSync(output('notes.md'), 'utf8');
      assert.match(notes, /^### Added$/m);
      assert.ok(notes.includes(`](${repository}/blob/v${version}/docs/how-to/diagnose.md)`));
      assert.doesNotMatch(notes, /\]\((?!https:|#)/);
      assert.ok(notes.includes(released.image) && notes.includes(released.chart));
      // The page that the notes name exists.
      const [, page] = /\[verify a release\]\(\S+\/blob\/v[^/]+\/([^)#]+)/.exec(notes) ?? [];
      assert.ok(page !== undefined && existsSync(join(root, page)), page);
    });

    it('gives later steps of a workflow the names and digests', () => {
      const [imageName, imageDigest] = released.image.split('@');
      const [chartName, chartDigest] = released.chart.split('@');
      assert.deepEqual(readFileSync(join(folder, 'outputs'), 'utf8').split('\n'), [
        `image-name=${imageName}`,
        `image-digest=${imageDigest}`,
        `chart-name=${chartName}`,
        `chart-digest=${chartDigest}`,
        '',
      ]);
    });

    it('signs the image for all platforms, the chart and the checksums, and attests each bill of materials', async () => {
      const record = join(folder, 'cosign-calls');
      const script = `#!/bin/sh\necho "$@" >> ${record}\n`;
      writeFileSync(join(folder, 'programs/cosign'), script, { mode: 0o755 });
      await runSuccessfully(process.execPath, release('sign'));
      const assets = 'dist/release/assets';
      const attest = (platform: string) => [
        `attest --yes --type cyclonedx --predicate ${assets}/${name}-image-${platform.replace('/', '-')}.sbom.json`,
        released.images[platform],
      ];
      const expected = [
        `sign --yes --recursive ${released.image}`,
        `sign --yes ${released.chart}`,
        ...Object.keys(released.images).map((platform) => attest(platform).join(' ')),
        `sign-blob --yes --bundle ${assets}/checksums.txt.sigstore.json ${assets}/checksums.txt`,
      ];
      const calls = readFileSync(record, 'utf8').trim().split('\n');
      assert.deepEqual(calls, expected);
      for (const [, file = ''] of calls.join('\n').matchAll(/--predicate (\S+)/g)) {
        assert.ok(existsSync(join(sources(), file)), file);
      }
    });

    it('is refused if the tag or the changelog do not fit, with all reasons', async () => {
      const { code, stderr } = await run(process.execPath, release('prepare', '--tag', 'v9.9.9'));
      assert.equal(code, 1);
      assert.equal(
        stderr,
        [
          `npm run release: the tag is v9.9.9, but package.json requires v${version}`,
          `CHANGELOG.md has no entries under "## [${version}]"\n`,
        ].join('\n  '),
      );
    });
  }),
);

/** Copies what a release needs, because npm pack replaces package.json while it runs. */
function copySources(folder: string): void {
  const excluded = ['node_modules', 'dist', '.git', 'test', 'docs'].map((path) => join(root, path));
  cpSync(root, folder, { recursive: true, filter: (path) => !excluded.includes(path) });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
}

/** This storage driver mounts nothing, so that removing the folder is enough to clean up. */
function writeStorageConfiguration(folder: string): string {
  const file = join(folder, 'storage.conf');
  const [storage, runtime] = [join(folder, 'storage'), join(folder, 'run')];
  writeFileSync(file, `[storage]\ndriver = "vfs"\ngraphroot = "${storage}"\nrunroot = "${runtime}"\n`);
  return file;
}

/**
 * Creates the base image and the first stage of the Dockerfile. Nothing in the image runs, so Node.js is a file with the text by which
 * its version is recognized.
 */
async function createBuildContexts(folder: string): Promise<string[]> {
  const base = join(folder, 'base');
  for (const architecture of architectures) {
    const write = (path: string, text: string) => {
      mkdirSync(join(base, architecture, path, '..'), { recursive: true });
      writeFileSync(join(base, architecture, path), text);
    };
    write('nodejs/bin/node', `https://nodejs.org/download/release/v1/node-v${nodeVersion}-headers.tar.gz`);
    write('nodejs/LICENSE', 'Node.js is licensed for use as follows:');
    write('var/lib/dpkg/status.d/libc6', `Package: libc6\nVersion: 2.36\nArchitecture: ${architecture}\n`);
  }
  const built = join(folder, 'built');
  await bundleInto(join(built, 'app/dist/main.mjs'));
  return ['--build-context', `base=${base}`, '--build-context', `build=${built}`];
}

function sha256(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}
