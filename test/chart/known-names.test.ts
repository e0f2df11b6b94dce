// Tests that names of values in other charts and earlier versions are answered with the right names.
import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { parse } from 'yaml';
import { filesOfTar } from '../../image/tar.ts';
import { describeWithHelm } from './chart-suite.ts';
import { chartFolder, type Values } from './helm.ts';
import { installModes } from './install-modes.ts';
import { getValueAt } from './rendered-objects.ts';

const file = (name: string) => readFile(join(chartFolder, name), 'utf8');
const knownNames: Readonly<Record<string, string>> = parse(await file('files/known-names.yaml'));
const paths = Object.keys(knownNames);
/** Names of groups, which are answered if no longer name is. */
const groups = paths.filter((path) => paths.some((other) => other.startsWith(`${path}.`)));

/** Values that contain all paths. */
function valuesAt(paths: readonly string[]): Values {
  const values: Record<string, unknown> = {};
  for (const path of paths) {
    const keys = path.split('.');
    let map = values;
    for (const key of keys.slice(0, -1)) {
      map[key] ??= {};
      map = map[key] as Record<string, unknown>;
    }
    map[keys.at(-1) ?? ''] = [];
  }
  return values;
}

/** Whether the schema has a value, or a map of any content that contains it. */
function isInSchema(schema: unknown, path: string): boolean {
  let node = schema;
  for (const key of path.split('.')) {
    const reference: string | undefined = getValueAt(node, '$ref');
    node = reference === undefined ? node : getValueAt(schema, reference.slice(2).replaceAll('/', '.'));
    const properties = getValueAt(node, 'properties');
    if (properties === undefined) {
      return true;
    }
    if (!(key in properties)) {
      return false;
    }
    node = properties[key];
  }
  return true;
}

/** The line of the message about a name. */
function lineOf(path: string): string {
  const answer = knownNames[path] ?? '';
  return `  ${path}: ${answer.endsWith('.') ? answer : `did you mean ${answer}?`}`;
}

describe('the known names', () => {
  it('are answered with names of values that exist', async () => {
    const schema = JSON.parse(await file('values.schema.json'));
    const answers = Object.values(knownNames).filter((answer) => !answer.endsWith('.'));
    const names = answers.flatMap((answer) => answer.match(/\b[a-z][A-Za-z]*(\.[A-Za-z]+)*\b/)?.[0] ?? []);
    assert.equal(names.length, answers.length);
    assert.deepEqual(
      names.filter((name) => !isInSchema(schema, name)),
      [],
    );
  });

  it('include the names in the table of the migration page', async () => {
    const page = await readFile(
      new URL('../../docs/how-to/migrate-chart-values.md', import.meta.url),
      'utf8',
    );
    const rows = [...page.matchAll(/^\| `([\w.]+)(?:: [^`]+)?`\s+\| `([\w.]+)`/gm)];
    assert.equal(rows.length, 8);
    for (const [, before = '', now] of rows) {
      const known = before.endsWith('rolesAnywhere.image') ? `${before}.repository` : knownNames[before];
      assert.equal(known, now, before);
    }
  });

  it('are not the names of values', async () => {
    const values = parse(await file('values.yaml'));
    assert.deepEqual(
      paths.filter((path) => getValueAt(values, path) !== undefined),
      [],
    );
  });

  it('are the only ones that the schema accepts in addition to values', async () => {
    const accepted: string[] = [];
    const visit = (node: unknown, path: readonly string[]) => {
      for (const pattern of Object.keys(getValueAt(node, 'patternProperties') ?? {})) {
        if (/^\^\([A-Za-z|]+\)\$$/.test(pattern)) {
          accepted.push(
            ...pattern
              .slice(2, -2)
              .split('|')
              .map((key) => [...path, key].join('.')),
          );
        }
      }
      for (const [key, inner] of Object.entries(getValueAt(node, 'properties') ?? {})) {
        visit(inner, [...path, key]);
      }
    };
    visit(JSON.parse(await file('values.schema.json')), []);
    assert.deepEqual(
      accepted.filter((name) => !paths.some((path) => path === name || path.startsWith(`${name}.`))),
      [],
    );
  });
});

describeWithHelm('names of values in other charts', (helm) => {
  /** The lines of the message, or undefined if Helm accepts the values. */
  const answer = async (values: Values): Promise<string[] | undefined> => {
    const { code, stderr } = await helm().run(['template', 'x', chartFolder], values);
    return code === 0 ? undefined : stderr.split('\n');
  };

  it('are all answered, in one message', async () => {
    const longest = paths.filter((path) => !groups.includes(path));
    const lines = await answer(valuesAt(longest));
    assert.deepEqual(
      lines?.filter((line) => line.startsWith('  ')),
      longest.sort().map(lineOf),
    );
    assert.match(lines?.join('\n') ?? '', /this chart does not have these values:/);
  });

  it('are answered if an upgrade reuses the defaults of the earlier chart', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'chart-'));
    t.after(() => rm(folder, { recursive: true }));
    await cp(chartFolder, folder, { recursive: true });
    const archive = join(import.meta.dirname, 'fixtures/before-conventional-values.tgz');
    const [values] = [...filesOfTar(await promisify(gunzip)(await readFile(archive)))].filter(
      ({ path }) => path === 'ecr-pull-secrets/values.yaml',
    );
    assert.ok(values);
    await writeFile(join(folder, 'values.yaml'), values.data);
    const { stderr } = await helm().run(['template', 'x', folder]);
    assert.match(stderr, /^ {2}replicas: did you mean replicaCount\?$/m);
  });

  it('are answered as groups if nothing in them is known', async () => {
    const lines = await answer(valuesAt(groups));
    assert.deepEqual(
      lines?.filter((line) => line.startsWith('  ')),
      [...groups].sort().map(lineOf),
    );
  });

  it('are not refused if they are null, so that --set replicas=null removes a value of an earlier release', async () => {
    assert.equal(await answer({ replicas: null, replicaCount: 3 }), undefined);
  });

  it('include the image of the Roles Anywhere helper as text', async () => {
    const image = 'registry.example/helper:1';
    const used = installModes.find(({ name }) => name === 'Roles Anywhere')?.values;
    const credentials = getValueAt(used, 'aws.credentials');
    for (const changed of [
      { rolesAnywhere: { image } },
      { ...credentials, rolesAnywhere: { ...credentials.rolesAnywhere, image } },
    ]) {
      const lines = await answer({ aws: { credentials: changed } });
      assert.match(
        lines?.join() ?? '',
        /rolesAnywhere\.image: did you mean \S+\.image\.repository and \.tag\?/,
      );
    }
  });

  it('do not hide typing errors, which the schema refuses', async () => {
    for (const values of [{ replicacount: 2 }, { webhook: { prot: 1 } }, { image: { repo: 'x' } }]) {
      assert.match((await answer(values))?.join() ?? '', /additional properties '\w+' not allowed/);
    }
    assert.match(
      (await answer({ global: { imageregistry: 'x' } }))?.join('\n') ?? '',
      /global\.imageregistry: The chart reads only global\.imageRegistry and global\.imagePullSecrets/,
    );
  });

  // Values that users of these charts set by habit: what they type, and the answer, or undefined if the chart accepts it.
  const habits: [string, Values, RegExp?][] = [
    ['replicas of cert-manager, external-secrets and ingress-nginx', { replicaCount: 3 }],
    ['pull Secrets of cert-manager', { global: { imagePullSecrets: [{ name: 'mirror' }] } }],
    [
      'labels of cert-manager',
      { global: { commonLabels: { team: 'a' } } },
      /global\.commonLabels: .*commonLabels\?/,
    ],
    ['labels of external-secrets', { commonLabels: { team: 'a' } }],
    ['labels of Kyverno', { customLabels: { team: 'a' } }, /customLabels: did you mean commonLabels\?/],
    ['environment of external-secrets', { extraEnv: [{ name: 'HTTPS_PROXY', value: 'http://proxy:3128' }] }],
    ['arguments of cert-manager', { extraArgs: ['--help'] }],
    ['security contexts of cert-manager', { securityContext: { runAsNonRoot: true } }],
    ['security context of Bitnami', { podSecurityContext: { fsGroup: 1001 } }],
    ['deployment annotations of cert-manager', { deploymentAnnotations: { a: 'b' } }],
    ['spreading of all', { topologySpreadConstraints: [] }],
    [
      'monitoring of cert-manager',
      { prometheus: { servicemonitor: { enabled: true } } },
      /prometheus\.servicemonitor\.enabled: did you mean metrics\.serviceMonitor\.enabled\?/,
    ],
    [
      'monitoring of external-secrets',
      { serviceMonitor: { enabled: true } },
      /serviceMonitor\.enabled: did you mean metrics\.serviceMonitor\.enabled\?/,
    ],
    [
      'replicas of Kyverno',
      { admissionController: { replicas: 3 } },
      /admissionController\.replicas: did you mean replicaCount\?/,
    ],
    ['CRDs of cert-manager', { crds: { enabled: true } }, /crds: The chart has no CustomResourceDefinitions/],
    ['port of external-secrets', { webhook: { port: 10250 } }],
    [
      'port of cert-manager',
      { webhook: { securePort: 10250 } },
      /webhook\.securePort: did you mean webhook\.port\?/,
    ],
    ['host network of external-secrets', { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }],
    ['volumes of external-secrets', { extraVolumes: [], extraVolumeMounts: [], extraContainers: [] }],
    ['objects of external-secrets', { extraObjects: [] }],
  ];
  for (const [name, values, expected] of habits) {
    it(`${name}: ${expected === undefined ? 'accepted' : 'answered'}`, async () => {
      const lines = await answer(values);
      if (expected === undefined) {
        assert.equal(lines, undefined);
      } else {
        assert.match(lines?.join('\n') ?? 'accepted', expected);
      }
    });
  }
});
