// Tests the defaults of the configuration, and the messages for invalid ones.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, readConfig } from '../../src/config/load-config.ts';

function problemsOf(yaml: string): string[] {
  try {
    readConfig(yaml, 'test.yaml');
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    for (const { path, text } of error.problems) {
      assert.ok(error.message.includes(`${path} ${text}`.trim()), 'the message holds every problem');
    }
    return error.problems.map(({ path, text }) => `${path} ${text}`.trim());
  }
  return [];
}

describe('configuration', () => {
  it('has a default for everything', () => {
    const config = readConfig('', 'nothing');
    assert.equal(config.secretName, 'ecr-pull-secrets');
    assert.equal(config.onFailure, 'admit');
    assert.equal(config.tokens.freshFraction, 0.5);
    assert.equal(config.tokens.minimumLife, 3_600_000);
    assert.deepEqual(config.exclude, { namespaces: [], admissionNamespaces: ['kube-system'], accounts: [] });
    assert.deepEqual(readConfig('webhook: {}\n', 'empty section'), config);
  });

  it('reads durations with their units', () => {
    const yaml =
      'webhook: { deadlineMargin: 250ms, drainTimeout: 90s }\ntokens: { minimumLife: 2h, requestTimeout: 1m }';
    const { webhook, tokens } = readConfig(yaml, 'durations');
    assert.deepEqual(
      [webhook.deadlineMargin, webhook.drainTimeout, tokens.minimumLife, tokens.requestTimeout],
      [250, 90_000, 7_200_000, 60_000],
    );
  });

  it('lets writes to the API server wait longer than 30 s, the longest time that a webhook may delay them', () => {
    assert.equal(readConfig('', 'nothing').kubernetes.writeTimeout, 40_000);
    for (const writeTimeout of ['0s', '10s', '30s', '30999ms', '3m']) {
      const [problem = '', ...others] = problemsOf(`kubernetes: { writeTimeout: ${writeTimeout} }`);
      assert.match(problem, /^kubernetes\.writeTimeout must be a duration from 31s to 2m, not /);
      assert.deepEqual(others, []);
    }
  });

  it('requires client certificates only with a CA, and rejects names without one', () => {
    assert.equal(readConfig('', 'nothing').webhook.clientAuth, undefined);
    const { clientAuth, maxConnections } = readConfig(
      'webhook: { maxConnections: 2000, clientAuth: { caFile: /ca.crt } }',
      'test',
    ).webhook;
    assert.deepEqual([clientAuth, maxConnections], [{ caFile: '/ca.crt', allowedNames: [] }, 2_000]);
    assert.deepEqual(
      problemsOf('webhook: { maxConnections: 1, clientAuth: { allowedNames: ["kube-*"], ca: x } }'),
      [
        'webhook.clientAuth.ca is not a known key; known keys: caFile, allowedNames',
        'webhook.maxConnections must be a whole number from 16 to 10000, not 1',
        'webhook.clientAuth.caFile is required',
      ],
    );
  });

  it('reports every problem at once, with its key and what is expected', () => {
    const yaml = [
      'secretName: Not_A_Name',
      'onFailure: maybe',
      'webhook: { port: 99999, deadlineMargin: 5 }',
      'registries:',
      '  - { accounts: [1234], roleArn: "arn:aws:iam::123456789012:user/x", sessionPolicy: "{" }',
      '  - { regions: eu-west-1 }',
    ].join('\n');
    assert.deepEqual(problemsOf(yaml), [
      'secretName must be a name of lowercase letters, digits, "-" and ".", not "Not_A_Name"',
      'onFailure must be admit or deny, not "maybe"',
      'registries[0].accounts[0] must be an AWS account ID in quotes, such as "123456789012", with * for any number of digits, not 1234',
      'registries[0].roleArn must be the ARN of an IAM role, with placeholders if needed, not "arn:aws:iam::123456789012:user/x"',
      'registries[0].sessionPolicy must be an IAM policy, as JSON or as a mapping, not "{"',
      'registries[1].regions must be a list of regions, not "eu-west-1"',
      'webhook.port must be a whole number from 0 to 65535, not 99999',
      'webhook.deadlineMargin must be a duration such as 500ms, 10s, 5m or 12h, not 5',
    ]);
  });

  it('rejects all unknown keys at any depth, and suggests a known one', () => {
    const yaml =
      'secretNam: x\nwebhook: { prot: 1, certfile: y }\nregistries: [{ roleARN: z }]\nfrobnicate: 1';
    const problems = problemsOf(yaml);
    assert.ok(problems.includes('secretNam is not a known key; did you mean secretName?'));
    assert.ok(problems.includes('webhook.prot is not a known key; did you mean port?'));
    assert.ok(problems.includes('webhook.certfile is not a known key; did you mean certFile?'));
    assert.ok(problems.includes('registries[0].roleARN is not a known key; did you mean roleArn?'));
    assert.ok(
      problems.some((problem) =>
        problem.startsWith('frobnicate is not a known key; known keys: secretName,'),
      ),
    );
  });

  it('disables provisioning by default, and accepts ECR hosts only', () => {
    const off = { registries: [], namespaces: { names: [], selector: '' }, serviceAccounts: ['default'] };
    assert.deepEqual(readConfig('', 'nothing').provisioning, off);
    const yaml = [
      'provisioning:',
      '  registries: [123456789012.dkr.ecr.eu-west-1.amazonaws.com, docker.io]',
      '  namespaces: { names: team-*, selector: "team=$x" }',
      '  serviceAccounts: default',
    ].join('\n');
    assert.deepEqual(problemsOf(yaml), [
      'provisioning.registries[1] must be an ECR host such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com, or a key of hosts, not "docker.io"',
      'provisioning.namespaces.names must be a list of namespaces, not "team-*"',
      'provisioning.namespaces.selector must be a label selector such as team=shop,env!=test, not "team=$x"',
      'provisioning.serviceAccounts must be a list of ServiceAccounts, not "default"',
    ]);
    const selectors = ['team=shop,env!=test', 'env in (a, b),!legacy', 'example.com/team'];
    for (const selector of selectors) {
      assert.deepEqual(problemsOf(`provisioning: { namespaces: { selector: "${selector}" } }`), []);
    }
  });

  for (const [what, yaml] of [
    ['invalid YAML', 'a: ['],
    ['a duplicate key', 'secretName: a\nsecretName: b'],
    ['a list', '- 1'],
    ['a word', 'serve'],
    ['a list for a section', 'webhook: []'],
    ['too many aliases', 'a: &a [&b [*a, *a, *a], *b, *b]'],
  ] as const) {
    it(`rejects ${what}`, () => {
      assert.notDeepEqual(problemsOf(yaml), []);
    });
  }

  for (const [yaml, problem] of [
    ['serve', 'must be a mapping, not "serve"'],
    ['webhook: 5', 'webhook must be a mapping, not 5'],
    ['registries: [a]', 'registries[0] must be a mapping, not "a"'],
    ['log: {}\n---\nlog: {}', 'is not valid YAML: more than one document at line 2, column 1'],
    [
      'exclude:\n  namespaces:\n    - *-test',
      'has the YAML alias *-test, which is not defined; put texts that begin with * in quotes',
    ],
    [
      'registries: *all\nlog: &all {}',
      'has the YAML alias *all, which is not defined; put texts that begin with * in quotes',
    ],
    [`a: &a [x]\nb: &b [${'*a,'.repeat(200)}]\nc: [${'*b,'.repeat(200)}]`, 'has too many YAML aliases'],
    ['log: {}\nlog: {}', 'is not valid YAML: Map keys must be unique at line 2, column 1'],
  ]) {
    it(`describes what is wrong with ${JSON.stringify(yaml)} in one line`, () => {
      assert.deepEqual(problemsOf(yaml ?? ''), [problem]);
    });
  }

  it('keeps a problem to one line of limited length, whatever the file contains', () => {
    const long = 'x'.repeat(1_000_000);
    for (const yaml of [
      long,
      `onFailure: ${long}`,
      `${long}: 1`,
      '"a\\nb": 1',
      `a: "${long}`,
      `a: *${long}`,
      '['.repeat(20_000),
    ]) {
      for (const problem of problemsOf(yaml)) {
        assert.match(problem, /^[^\n]{1,700}$/, yaml.slice(0, 20));
      }
    }
    assert.match(problemsOf('"a\\nb": 1').join(), /^"a\\nb" is not a known key/);
  });
});
