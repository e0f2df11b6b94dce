// Tests which hosts and image references are recognized as Amazon ECR.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { partitions } from '../../src/ecr/partitions.ts';
import { getImageRegistry, resolveRegistry } from '../support/registries.ts';

const account = '123456789012';

/** A region of each partition. */
const regions: Record<string, string> = {
  aws: 'eu-central-1',
  'aws-us-gov': 'us-gov-west-1',
  'aws-cn': 'cn-northwest-1',
  'aws-eusc': 'eusc-de-east-1',
  'aws-iso': 'us-iso-east-1',
  'aws-iso-b': 'us-isob-east-1',
  'aws-iso-e': 'eu-isoe-west-1',
  'aws-iso-f': 'us-isof-south-1',
};

const everyForm = partitions.flatMap((partition) => {
  const region = regions[partition.id] ?? '';
  const forms = [
    { infix: 'dkr.ecr', suffix: partition.suffix, dualStack: false },
    ...partition.dualStackSuffixes.map((suffix) => ({ infix: 'dkr-ecr', suffix, dualStack: true })),
  ];
  return forms.flatMap((form) =>
    [false, true].map((fips) => ({
      host: `${account}.${form.infix}${fips ? '-fips' : ''}.${region}.${form.suffix}`,
      registry: { account, region, partition: partition.id, fips, dualStack: form.dualStack },
    })),
  );
});

describe('ECR hosts', () => {
  for (const { host, registry } of everyForm) {
    it(`are recognized: ${host}`, () => {
      assert.deepEqual(resolveRegistry(host), { kind: 'private', host, ...registry });
    });
    it(`are recognized with a port, which stays in the host: ${host}:443`, () => {
      assert.deepEqual(getImageRegistry(`${host}:443/team/app:1`), {
        kind: 'private',
        host: `${host}:443`,
        ...registry,
      });
    });
  }

  it('are recognized in regions that are on no list', () => {
    for (const region of ['me-central-1', 'af-south-1', 'il-central-1', 'mx-central-1', 'ap-southeast-7']) {
      assert.equal(resolveRegistry(`${account}.dkr.ecr.${region}.amazonaws.com`)?.region, region);
    }
  });
});

describe('image references', () => {
  const host = `${account}.dkr.ecr.us-east-1.amazonaws.com`;
  const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

  for (const rest of [
    'app',
    'app:1.2',
    `app@${digest}`,
    `team/app:1.2@${digest}`,
    'docker-hub/library/nginx',
  ]) {
    it(`finds the registry of HOST/${rest}`, () => {
      assert.equal(getImageRegistry(`${host}/${rest}`)?.host, host);
    });
  }

  const lookAlikes = [
    '',
    '/',
    'busybox',
    'docker.io/library/busybox:1',
    host,
    `${host}/`,
    `/${host}/app`,
    `${host}.evil.example/x`,
    `evil.example/${host}/app`,
    `evil.example.${host}/app`,
    `docker.io/app:${host}`,
    `docker.io/app@${host}/x`,
    `user@${host}/app`,
    `https://${host}/app`,
    ` ${host}/app`,
    `${host} /app`,
    `${host}\n/app`,
    `${host.toUpperCase()}/app`,
    `${host}:/app`,
    `${host}:0/app`,
    `${host}:65536/app`,
    `${host}:44x/app`,
    `${account.slice(1)}.dkr.ecr.us-east-1.amazonaws.com/app`,
    `1${account}.dkr.ecr.us-east-1.amazonaws.com/app`,
    `${account}.dkr.ecr.us-east-1.amazonaws.com.evil/app`,
    `${account}.dkr.ecr.us-east-1.amazonaws.community/app`,
    `${account}.dkr.ecr.us-east-1.on.aws/app`,
    `${account}.dkr-ecr.us-east-1.amazonaws.com/app`,
    `${account}.dkr.ecr.us-east-1.amazonaws.com.cn/app`,
    `${account}.dkr.ecr.cn-north-1.amazonaws.com/app`,
    `${account}.dkr.ecr.amazonaws.com/app`,
    `${account}.dkr.ecr.us_east_1.amazonaws.com/app`,
    `${account}.dkr.ecr-fipsy.us-east-1.amazonaws.com/app`,
    `${account}.dkr.ecr.us-east-1.evil.example.amazonaws.com/app`,
    `١٢٣٤٥٦٧٨٩٠١٢.dkr.ecr.us-east-1.amazonaws.com/app`,
    'public.ecr.aws/docker/library/busybox',
  ];
  for (const image of lookAlikes) {
    it(`finds no registry in ${JSON.stringify(image)}`, () => {
      assert.equal(getImageRegistry(image), undefined);
    });
  }

  it('never throws, whatever the text is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (image) => {
        getImageRegistry(image);
      }),
    );
  });

  it('finds the same host with any valid path, tag or digest', () => {
    const path = fc.stringMatching(/^[a-z0-9]+([._/-][a-z0-9]+){0,5}(:[A-Za-z0-9_.-]{1,40})?$/);
    fc.assert(
      fc.property(fc.constantFrom(...everyForm), path, (form, rest) => {
        assert.equal(getImageRegistry(`${form.host}/${rest}`)?.host, form.host);
      }),
    );
  });

  it('does not recognize a changed host', () => {
    const alphabet = fc.constantFrom(...'aA0.-_:/@ é');
    fc.assert(
      fc.property(fc.constantFrom(...everyForm), fc.nat(), alphabet, ({ host: whole }, at, character) => {
        const index = at % whole.length;
        const changed = `${whole.slice(0, index)}${character}${whole.slice(index + 1)}`;
        const found = getImageRegistry(`${changed}/app`);
        assert.ok(found === undefined || found.host === changed);
      }),
    );
  });

  it('takes linear time for a hostile string', () => {
    const hostile = [
      `${`${account}.dkr.ecr.`.repeat(200_000)}/x`,
      `${account}.dkr.ecr.${'a-'.repeat(1_000_000)}1.amazonaws.com/x`,
      `${account}.dkr.ecr.us-east-1.${'a.'.repeat(1_000_000)}/x`,
      `${'/'.repeat(3_000_000)}`,
    ];
    const started = process.cpuUsage();
    for (const image of hostile) {
      assert.equal(getImageRegistry(image), undefined);
    }
    const { user, system } = process.cpuUsage(started);
    assert.ok(user + system < 1_000_000, `took ${user + system} µs of CPU`);
  });
});
