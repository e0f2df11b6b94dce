// Which host names container runtimes read as the registry of an image.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { findHostNameProblem, maxHostLength } from '../../src/ecr/host-name.ts';

describe('host names of registries', () => {
  const long = `${'a'.repeat(maxHostLength - '.example'.length)}.example`;
  const usable = [
    'registry.example.com',
    'registry.example.com:5000',
    'registry.example.com:65535',
    'localhost',
    'localhost:4566',
    'registry:5000',
    '10.1.2.3:5000',
    'a--b.example',
    '000000000000.dkr.ecr.us-east-1.localhost.localstack.cloud:4566',
    long,
  ];
  for (const host of usable) {
    it(`can be used: ${host.slice(0, 70)}`, () => assert.equal(findHostNameProblem(host), undefined));
  }

  const unusable: [host: string, problem: RegExp][] = [
    ['', /^is not a host name/],
    ['registry', /^needs a dot or a port, .+ docker\.io\/registry\/app$/],
    ['docker.io', /^is Docker Hub/],
    ['index.docker.io', /^is Docker Hub/],
    ['Registry.example.com', /^is not a host name or IPv4 address in lowercase/],
    ['registry.example.com:0', /^is not a host name/],
    ['registry.example.com:05000', /^is not a host name/],
    ['registry.example.com:65536', /^is not a host name/],
    ['registry.example.com:', /^is not a host name/],
    ['registry.example.com.', /^is not a host name/],
    ['registry..example.com', /^is not a host name/],
    ['-registry.example.com', /^is not a host name/],
    ['registry_1.example.com', /^is not a host name/],
    ['https://registry.example.com', /^is not a host name/],
    ['registry.example.com/app', /^is not a host name/],
    ['*.example.com', /^is not a host name/],
    ['[::1]:5000', /^is not a host name/],
    [`a${long}`, /^is longer than 128 characters$/],
  ];
  for (const [host, problem] of unusable) {
    it(`cannot be used: ${JSON.stringify(host.slice(0, 70))}`, () =>
      assert.match(findHostNameProblem(host) ?? '', problem));
  }

  it('are exactly those that distribution/reference reads as the domain of an image, in lowercase', () => {
    // reference.go `splitDockerDomain`, and the domain of regexp.go without IPv6 addresses
    const domain =
      /^(?:[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])(?:\.(?:[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9]))*(?::[0-9]+)?$/;
    const isDomain = (host: string) =>
      domain.test(host) &&
      (/[.:]/.test(host) || host === 'localhost') &&
      !['docker.io', 'index.docker.io'].includes(host);
    const alphabet = fc.constantFrom(
      'a',
      'z',
      '0',
      '9',
      '-',
      '.',
      ':',
      '5',
      '_',
      'A',
      '/',
      'localhost',
      'docker.io',
    );
    const text = fc.array(alphabet, { maxLength: 12 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, (host) => {
        const port = Number(/:(\d+)$/.exec(host)?.[1] ?? 1);
        const hasOddPort = port < 1 || port > 65_535 || /:0/.test(host);
        assert.equal(findHostNameProblem(host) === undefined, isDomain(host) && !hasOddPort, host);
      }),
      { numRuns: 5_000 },
    );
  });

  it('are checked in linear time', () => {
    const started = process.cpuUsage();
    for (const hostile of ['a-'.repeat(2_000_000), 'a.'.repeat(2_000_000), `${'a'.repeat(128)}`]) {
      assert.ok(findHostNameProblem(hostile) !== undefined);
    }
    const { user, system } = process.cpuUsage(started);
    assert.ok(user + system < 500_000, `took ${user + system} µs of CPU`);
  });
});
