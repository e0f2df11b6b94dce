// The program in the image of the ECR stand-in: AWS's APIs on one port, and a registry that verifies the tokens on another.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startEcrDouble } from '../test/doubles/ecr/ecr-double.ts';
import { createImage, createRegistry } from './registry.ts';
import { standInCanary } from './settings.ts';

const { values } = parseArgs({
  options: {
    'api-host': { type: 'string', default: '127.0.0.1' },
    'api-port': { type: 'string', default: '0' },
    'registry-host': { type: 'string', default: '127.0.0.1' },
    'registry-port': { type: 'string', default: '0' },
    // a tar archive with the program `pause`
    layer: { type: 'string', default: '/layer.tar' },
  },
});

const ecr = await startEcrDouble({
  canary: standInCanary,
  listen: { host: values['api-host'], port: Number(values['api-port']) },
  onCall: ({ service, operation, region, principal }) =>
    log(`${service}: ${operation} in ${region} by ${principal ?? 'an unknown key'}`),
});
const image = createImage({
  layer: readFileSync(values.layer),
  entrypoint: ['/pause'],
  arch: process.arch,
});
const registry = createRegistry({ ecr, image, log });
const listener = { host: values['registry-host'], port: Number(values['registry-port']) };
await new Promise<void>((resolve) => registry.listen(listener, resolve));
log(`listening: ${JSON.stringify({ api: ecr.url, registry: registry.address() })}`);

process.once('SIGTERM', () => process.exit());

function log(line: string): void {
  process.stdout.write(`${line}\n`);
}
