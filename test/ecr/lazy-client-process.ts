// Prints whether the client of ECR Public is loaded, first after a private registry was used and then after the public one.
import { createRequire } from 'node:module';
import { createTokenApi } from '../../src/ecr/ecr-client.ts';
import { createRegistryResolver, resolveRegistries } from '../../src/ecr/registry.ts';

const isLoaded = () =>
  Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('client-ecr-public'));

const options = {
  credentials: { accessKeyId: 'example', secretAccessKey: 'example' },
  requestHandler: {},
  customUserAgent: 'test',
};
const hosts = ['123456789012.dkr.ecr.us-east-1.amazonaws.com', 'public.ecr.aws'];
for (const registry of resolveRegistries(hosts, createRegistryResolver({ publicRegistry: true }))) {
  await createTokenApi(registry, options);
  process.stdout.write(`${registry.host} ${isLoaded()}\n`);
}
