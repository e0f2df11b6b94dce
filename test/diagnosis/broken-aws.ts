// Setups in which AWS issues no token, or the registry does not return the image.
import assert from 'node:assert/strict';
import { runOnce } from '../commands/run-command.ts';
import { misspeltRegion } from '../support/nonexistent-regions.ts';
import type { Broken, BrokenSetup } from './broken-setup.ts';
import {
  type HealthyInstallation,
  ownHost,
  partnerHost,
  partnerRole,
  vendorHost,
  vendorRole,
} from './healthy-installation.ts';
import { createNamedNamespace } from './simulated-workloads.ts';
import { createStuckPod } from './stuck-pods.ts';

const none = async () => undefined;
const caller = 'arn:aws:iam::123456789012:user/example';
const borrowedImage = '333333333333.dkr.ecr.eu-central-1.amazonaws.com/shop/base:2';
const borrowedRepository = 'arn:aws:ecr:eu-central-1:333333333333:repository/shop/base';
const nodeRole = 'arn:aws:iam::123456789012:role/node';
const noKeys = {
  AWS_ACCESS_KEY_ID: undefined,
  AWS_SECRET_ACCESS_KEY: undefined,
  AWS_SESSION_TOKEN: undefined,
};

export const brokenAwsSetups: readonly BrokenSetup[] = [
  {
    name: 'expired keys',
    broken: 'The temporary AWS keys of the program have expired',
    command: ['doctor'],
    from: 'inside',
    check: 'aws-credentials',
    summary: 'the AWS credentials have expired (ExpiredToken)',
    break: async ({ ecr }) => ({ environment: ecr.expiredEnv(nodeRole, 60_000), repair: none }),
  },
  {
    name: 'no keys',
    broken: 'The program has no AWS credentials at all',
    command: ['doctor'],
    from: 'inside',
    check: 'aws-credentials',
    summary: 'the program has no AWS credentials',
    break: async () => ({ environment: noKeys, repair: none }),
  },
  {
    name: 'denied role',
    broken: 'The trust policy of the role of a rule does not allow the program to assume it',
    command: ['doctor'],
    from: 'inside',
    check: 'aws-rule-identities',
    summary: `AWS STS refuses role ${vendorRole} of registries[3] (AccessDenied)`,
    break: async ({ roles }) => {
      delete roles[vendorRole];
      return { repair: async () => void Object.assign(roles, { [vendorRole]: {} }) };
    },
  },
  {
    name: 'wrong external ID',
    broken: 'The trust policy of the role requires another external ID than the rule sends',
    command: ['doctor'],
    from: 'inside',
    check: 'aws-rule-identities',
    summary: `AWS STS refuses role ${partnerRole} of registries[2] with its externalId (AccessDenied)`,
    break: async ({ roles }) => {
      const trust = roles[partnerRole];
      roles[partnerRole] = { externalId: 'another-cluster' };
      return { repair: async () => void Object.assign(roles, { [partnerRole]: trust }) };
    },
  },
  {
    name: 'wrong region',
    broken: 'An image names a region that does not exist',
    command: ['doctor'],
    from: 'inside',
    check: 'aws-tokens',
    summary: `region ${misspeltRegion} does not exist, or its name is misspelt: there is no host api.ecr.${misspeltRegion}.amazonaws.com`,
    consequences: ['secret-tokens', 'pods-waiting'],
    break: breakRegion,
  },
  {
    name: 'blocked egress',
    broken: 'A firewall drops the packets from the program to AWS',
    command: ['doctor'],
    from: 'inside',
    check: 'aws-connection',
    summary: 'AWS cannot be reached at …: timed out',
    break: async ({ ecr }) => {
      ecr.fail('hang');
      return { config: { tokens: { requestTimeout: '1s' } }, repair: async () => ecr.heal() };
    },
  },
  {
    name: 'wrong proxy',
    broken: 'HTTPS_PROXY names a proxy that does not exist',
    command: ['doctor'],
    from: 'inside',
    check: 'aws-proxy',
    summary: 'the proxy 127.0.0.1:9 (HTTPS_PROXY) does not forward requests to …: proxy error (ECONNREFUSED)',
    break: async () => ({
      environment: {
        ...{ AWS_ENDPOINT_URL_ECR: undefined, AWS_ENDPOINT_URL_STS: undefined },
        HTTPS_PROXY: 'http://127.0.0.1:9',
      },
      repair: none,
    }),
  },
  {
    name: 'clock off by an hour',
    broken: 'The clock of the node is an hour fast',
    command: ['doctor'],
    from: 'inside',
    check: 'aws-clock',
    summary: 'the clock of this machine is 1h… ahead of that of AWS',
    break: async () => ({ preload: new URL('./shifted-clock.ts', import.meta.url).href, repair: none }),
  },
  {
    name: 'missing image tag',
    broken: 'An image names a tag that the repository does not have',
    command: ['doctor', 'image', `${ownHost}/shop/cart:1.5`, '--namespace', 'shop'],
    from: 'inside',
    check: 'image-manifest',
    summary: `repository shop/cart of ${ownHost} has no tag 1.5`,
    break: async () => ({ repair: none }),
  },
  {
    name: 'missing repository policy',
    broken: 'The policy of a repository in another account does not allow the program to pull',
    command: ['doctor', 'image', borrowedImage, '--namespace', 'shop'],
    from: 'inside',
    check: 'image-manifest',
    summary: `ECR refuses the pull: ${caller} is denied ecr:BatchGetImage on ${borrowedRepository}`,
    break: async (installation) => {
      const { deniedRepositories } = installation;
      deniedRepositories.set(
        'shop/base',
        `User: ${caller} is not authorized to perform: ecr:BatchGetImage on resource: ${borrowedRepository} because no resource-based policy allows the ecr:BatchGetImage action`,
      );
      const { repair } = await createStuckPod(installation, 'shop', 'base', { image: borrowedImage });
      return {
        repair: async () => {
          deniedRepositories.clear();
          await repair();
        },
      };
    },
  },
];

/** Only the misspelt region has the endpoint of AWS, whose name the DNS does not know. */
async function breakRegion(installation: HealthyInstallation): Promise<Broken> {
  const { cluster, ecr } = installation;
  ecr.fail('reset', { region: misspeltRegion });
  const image = `123456789012.dkr.ecr.${misspeltRegion}.amazonaws.com/shop/cart:1.4`;
  await createNamedNamespace(cluster, 'typo');
  const { repair } = await createStuckPod(installation, 'typo', 'web', { image });
  const hosts = [ownHost, partnerHost, vendorHost].map((host) => {
    const [account = ''] = host.split('.');
    return [host, { account, region: 'eu-central-1', endpoint: ecr.url }];
  });
  return {
    environment: { AWS_ENDPOINT_URL_ECR: undefined, HTTPS_PROXY: undefined },
    config: { hosts: Object.fromEntries(hosts) },
    preload: new URL('./missing-region.ts', import.meta.url).href,
    repair: async () => {
      await repair();
      const { code, stderr } = await runOnce(
        ['remove-host', '--namespace', 'typo', image.split('/')[0] ?? ''],
        cluster.kubeconfigPath,
      );
      assert.equal(code, 0, stderr);
      ecr.heal();
    },
  };
}
