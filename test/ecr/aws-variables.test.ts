// Tests that invalid AWS environment variables are rejected by name, all at once.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readAwsSettings } from '../../src/ecr/aws-settings.ts';
import { checkedVariables, validateAwsVariables } from '../../src/ecr/aws-variables.ts';

/** Variables that the SDK reads but that do not matter for this program, or cannot break it. */
const unchecked = [
  'AWS_ACCOUNT_ID_ENDPOINT_MODE', // ECR and STS have no account endpoints
  'AWS_AUTH_SCHEME_PREFERENCE', // unknown schemes are passed over
  'AWS_DEFAULTS_MODE', // timeouts, which the program sets itself
  'AWS_DEFAULT_REGION', // only to choose AWS_DEFAULTS_MODE
  'AWS_DISABLE_CLOCK_SKEW_CORRECTION', // any value is one
  'AWS_EXECUTION_ENV', // set by AWS Lambda
  'AWS_LAMBDA_FUNCTION_NAME',
];

describe('environment variables of the AWS SDK', () => {
  it('are all listed', () => {
    const root = join(import.meta.dirname, '../../node_modules');
    const files = globSync('{@aws-sdk,@smithy}/*/dist-cjs/**/*.js', { cwd: root });
    const names = files.flatMap((file) => [
      ...readFileSync(join(root, file), 'utf8').matchAll(/["'`](AWS_[A-Z\d]+(?:_[A-Z\d]+)+)["'`]/g),
    ]);
    const found = new Set(names.map(([, name]) => String(name)));
    assert.ok(found.size > 30, `${found.size} found`);
    assert.deepEqual(
      [...found].filter((name) => ![...checkedVariables, ...unchecked].includes(name)).sort(),
      [],
    );
  });

  it('are rejected with a line break, by name and without the value', () => {
    const once = Object.fromEntries(checkedVariables.map((name) => [name, 'true']));
    const environment = Object.fromEntries(checkedVariables.map((name) => [name, 'canary\n']));
    const problems = validateAwsVariables({ ...once, ...environment });
    assert.deepEqual(
      problems.map(({ path }) => path),
      checkedVariables,
    );
    assert.ok(!JSON.stringify(problems).includes('canary'));
    for (const { path, text } of validateAwsVariables({
      AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE\n',
      AWS_REGION: 'eu-west-1\r\n',
    })) {
      assert.match(
        text,
        /^ends with a line break; store it without one, for example with kubectl --from-lit/,
        path,
      );
    }
  });

  for (const [name, good, bad] of [
    ['AWS_ACCESS_KEY_ID', ['AKIAEXAMPLE000000000', ''], [' AKIA', 'AKIA\nx', 'ключ', 'a\tb']],
    ['AWS_SECRET_ACCESS_KEY', ['abc/def+ghi='], ['abc ', '\nabc']],
    ['AWS_SESSION_TOKEN', ['IQoJ//8=', ''], ['IQoJ\r\nIQoJ']],
    ['AWS_REGION', ['eu-central-1', 'us-gov-west-1', ''], ['eu-central-1 ', '-x', 'eu.west', 'x'.repeat(64)]],
    ['AWS_PROFILE', ['my profile', 'ä'], ['default ', 'a\u0000b']],
    ['AWS_WEB_IDENTITY_TOKEN_FILE', ['/a b/token'], ['/token\n']],
    ['AWS_ROLE_SESSION_NAME', ['ecr-pull-secrets'], ['x', 'a b']],
    [
      'AWS_ENDPOINT_URL_ECR',
      ['https://ecr.example.com', 'http://127.0.0.1:5000/x', 'HTTPS://ecr', ''],
      [
        'ecr.example.com',
        'ecr.example.com:443',
        '//ecr',
        'https:/ecr',
        'https://',
        'ftp://ecr',
        'https://a b',
      ],
    ],
    [
      'AWS_ENDPOINT_URL_STS',
      ['https://sts.example.com'],
      ['sts.example.com', 'https://sts.example.com:99999'],
    ],
    ['AWS_CONTAINER_CREDENTIALS_FULL_URI', ['http://169.254.170.23/v1/credentials'], ['169.254.170.23/v1']],
    ['AWS_USE_FIPS_ENDPOINT', ['true', 'false', ''], ['True', '1', 'yes', 'true ']],
    ['AWS_MAX_ATTEMPTS', ['1', '10'], ['0', '-1', '3x', '1e3', '100']],
    ['AWS_RETRY_MODE', ['standard', 'adaptive'], ['Standard', 'fast']],
    ['AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE', ['IPv4', 'IPv6'], ['ipv6']],
  ] as const) {
    it(`such as ${name} accept ${good.join(', ')} and reject ${JSON.stringify(bad)}`, () => {
      for (const value of good) {
        assert.deepEqual(validateAwsVariables({ [name]: value }), [], value);
      }
      for (const value of bad) {
        assert.deepEqual(
          validateAwsVariables({ [name]: value }).map(({ path }) => path),
          [name],
          value,
        );
      }
    });
  }

  it('that are invalid are reported together with proxies and the CA bundle', () => {
    const environment = {
      AWS_SESSION_TOKEN: 'canary\n',
      AWS_ENDPOINT_URL_ECR: 'canary.example.com',
      HTTPS_PROXY: 'socks5://canary',
      AWS_CA_BUNDLE: '/canary/does/not/exist',
    };
    assert.throws(() => readAwsSettings(environment), {
      code: 'invalid-config',
      message: [
        'the environment cannot be used:',
        '  AWS_SESSION_TOKEN ends with a line break; store it without one, for example with kubectl --from-literal or printf',
        '  AWS_ENDPOINT_URL_ECR must be a URL that begins with https:// or http://',
        '  AWS_CA_BUNDLE names a file that cannot be read (ENOENT)',
        '  HTTPS_PROXY has the scheme socks5; only http and https proxies are supported, such as http://proxy.example.com:3128',
      ].join('\n'),
    });
  });
});
