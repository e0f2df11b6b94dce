// Tests how proxy variables are parsed: NO_PROXY as in Go, precedence, invalid values.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readProxySettings, selectProxy } from '../../src/ecr/proxy.ts';

const ecr = 'https://api.ecr.eu-west-1.amazonaws.com';
const proxyUrl = 'http://proxy.example.com:3128/';

function proxyOf(url: string, environment: Record<string, string>): string | undefined {
  const { settings, problems } = readProxySettings(environment);
  assert.deepEqual(problems, []);
  return selectProxy(settings, new URL(url))?.url;
}

/**
 * What golang.org/x/net/http/httpproxy (v0.57.0, which Go 1.26 and Kubernetes use) decides, recorded from a run of it:
 * NO_PROXY, hosts that it connects to directly, and hosts that it reaches through the proxy.
 */
const go: readonly (readonly [noProxy: string, direct: readonly string[], proxied: readonly string[]])[] = [
  ['', ['http://localhost', 'http://127.0.0.1:80', 'http://127.9.9.9', 'http://[::1]:80'], [ecr]],
  ['', ['http://[::ffff:127.0.0.1]'], ['http://a.localhost', 'http://169.254.169.254', 'http://[::]']],
  ['amazonaws.com', [ecr, 'https://amazonaws.com', `${ecr}:8443`], ['https://xamazonaws.com']],
  ['.amazonaws.com', [ecr], ['https://amazonaws.com', 'https://xamazonaws.com']],
  ['*.amazonaws.com', [ecr], ['https://amazonaws.com', 'https://xamazonaws.com']],
  ['*amazonaws.com', [], [ecr, 'https://amazonaws.com']],
  ['AmazonAWS.com', [ecr.toUpperCase()], []],
  ['other.example, amazonaws.com ,', [ecr], ['https://example.com']],
  ['amazonaws.com:443', [ecr, 'http://amazonaws.com:443'], ['http://amazonaws.com', `${ecr}:8443`]],
  ['amazonaws.com:80', ['http://amazonaws.com'], [ecr]],
  ['amazonaws.com:', [ecr], []],
  ['*', [ecr, 'http://10.1.2.3', 'http://[fd00:ec2::254]'], []],
  ['a.example,*', [ecr], []],
  ['*:443', [], [ecr]],
  [',,  , :443, *., .', [], [ecr, 'http://10.1.2.3']],
  ['10.0.0.0/8', ['https://10.1.2.3', 'https://[::ffff:10.1.2.3]:8443'], ['https://11.0.0.1', ecr]],
  ['10.1.2.3', ['https://10.1.2.3', 'https://[::ffff:10.1.2.3]'], ['https://10.1.2.4']],
  ['10.1.2.3:443', ['https://10.1.2.3'], ['http://10.1.2.3']],
  ['::ffff:10.1.2.3', ['https://10.1.2.3', 'https://[::ffff:10.1.2.3]'], ['https://10.1.2.4']],
  ['0.0.0.0/0', ['https://10.1.2.3'], ['https://[fd00:ec2::254]', ecr]],
  ['::/0', ['https://[fd00:ec2::254]'], ['https://10.1.2.3', 'https://[::ffff:10.1.2.3]', ecr]],
  ['fd00:ec2::/32', ['https://[fd00:ec2::254]'], ['https://[fd00:ec3::254]']],
  ['fd00:ec2::254', ['https://[fd00:ec2::254]'], ['https://[fd00:ec2::23]']],
  ['[fd00:ec2::254]:443', ['https://[fd00:ec2::254]'], ['http://[fd00:ec2::254]']],
  ['10.0.0.0/33,10.1.2.3-10.1.2.9,010.1.2.3,10.1.2', [], ['https://10.1.2.3']],
  ['http://amazonaws.com,amazonaws.com/', [], [ecr]],
  ['bücher.example', ['https://bücher.example', 'https://xn--bcher-kva.example'], [ecr]],
];

describe('the proxy of a request', () => {
  for (const [noProxy, direct, proxied] of go) {
    it(`is the one that Go chooses with NO_PROXY=${JSON.stringify(noProxy)}: ${[...direct, ...proxied]}`, () => {
      const environment = { HTTP_PROXY: proxyUrl, HTTPS_PROXY: proxyUrl, NO_PROXY: noProxy };
      for (const url of direct) {
        assert.equal(proxyOf(url, environment), undefined, url);
      }
      for (const url of proxied) {
        assert.equal(proxyOf(url, environment), proxyUrl, url);
      }
    });
  }

  it('is none for hosts that curl excludes and Go does not: final dots, spaces as separators, bare brackets', () => {
    const environment = { HTTPS_PROXY: proxyUrl };
    for (const NO_PROXY of ['amazonaws.com.', 'a.example amazonaws.com']) {
      assert.equal(proxyOf(ecr, { ...environment, NO_PROXY }), undefined);
    }
    assert.equal(proxyOf(`${ecr}.`, { ...environment, NO_PROXY: 'amazonaws.com' }), undefined);
    assert.equal(proxyOf('https://[fd00:ec2::1]', { ...environment, NO_PROXY: '[fd00:ec2::1]' }), undefined);
  });

  it('is that of the scheme, with precedence of the uppercase variable, and otherwise that of ALL_PROXY', () => {
    const both = { HTTPS_PROXY: 'http://upper', https_proxy: 'http://lower', HTTP_PROXY: '' };
    assert.equal(proxyOf(ecr, both), 'http://upper/');
    assert.equal(proxyOf('http://a.example', both), undefined);
    assert.equal(proxyOf(ecr, { https_proxy: 'http://lower', all_proxy: 'http://all' }), 'http://lower/');
    assert.equal(proxyOf(ecr, { ALL_PROXY: 'http://all' }), 'http://all/');
    assert.equal(proxyOf('http://a.example', { all_proxy: 'http://all' }), 'http://all/');
    assert.equal(proxyOf(ecr, { HTTPS_PROXY: proxyUrl, NO_PROXY: '', no_proxy: 'amazonaws.com' }), undefined);
    assert.equal(proxyOf(ecr, { ALL_PROXY: proxyUrl, NO_PROXY: 'amazonaws.com' }), undefined);
  });

  for (const [value, url] of [
    ['proxy.example.com:3128', 'http://proxy.example.com:3128/'],
    ['proxy.example.com', 'http://proxy.example.com/'],
    ['10.1.2.3:3128', 'http://10.1.2.3:3128/'],
    ['[fd00::1]:3128', 'http://[fd00::1]:3128/'],
    ['user:p%40ss@proxy:3128', 'http://user:p%40ss@proxy:3128/'],
    ['HTTP://proxy:3128', 'http://proxy:3128/'],
    ['https://proxy:3128/', 'https://proxy:3128/'],
  ] as const) {
    it(`may be given as ${value}`, () => {
      assert.equal(proxyOf(ecr, { HTTPS_PROXY: value }), url);
    });
  }

  const noUrl = /^is not the URL of a proxy, such as http:\/\/proxy\.example\.com:3128; percent-encode/;
  for (const [value, text] of [
    [
      'socks5://canary:canary@proxy:1080',
      /^has the scheme socks5; only http and https proxies are supported/,
    ],
    ['socks5h://proxy:1080', /^has the scheme socks5h;/],
    ['canary://proxy:1080', /^has an unknown scheme;/],
    ['http://user:canary@not a host:1', /^contains a space or a line break;/],
    ['http://proxy:3128\n', /^contains a space or a line break;/],
    ['http://canary:canary@proxy:canary', noUrl],
    ['http://canary:cana/ry@proxy:3128', noUrl],
    ['http://canary:12/canary@proxy:3128', noUrl],
    ['http://canary:canary%zz@proxy:3128', noUrl],
    ['http:/proxy:3128', noUrl],
    ['http://', noUrl],
    ['proxy:3128:1', noUrl],
  ] as const) {
    it(`is refused by the name of the variable if it is ${JSON.stringify(value)}`, () => {
      for (const variable of ['HTTPS_PROXY', 'http_proxy', 'ALL_PROXY']) {
        const { problems } = readProxySettings({ [variable]: value });
        assert.deepEqual(
          problems.map(({ path }) => path),
          [variable],
        );
        assert.match(problems[0]?.text ?? '', text);
        assert.ok(!JSON.stringify(problems).includes('canary'));
      }
    });
  }

  it('reports all variables at once, but not one that another takes precedence over', () => {
    const { problems } = readProxySettings({
      HTTP_PROXY: 'a b',
      HTTPS_PROXY: 'c d',
      https_proxy: 'socks5://e',
      ALL_PROXY: 'socks5://f',
    });
    assert.deepEqual(
      problems.map(({ path }) => path),
      ['HTTPS_PROXY', 'HTTP_PROXY'],
    );
  });
});
