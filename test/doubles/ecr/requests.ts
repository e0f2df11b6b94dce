import type { IncomingMessage } from 'node:http';
import type { Asked } from './faults.ts';
import { type Credential, readCredential } from './signature.ts';

/** A request of the SDK, read. */
export interface AwsRequest extends Asked {
  readonly service: 'ecr' | 'sts';
  readonly credential: Credential | undefined;
  /** The parameters of an STS operation. */
  readonly parameters: URLSearchParams;
  readonly body: Buffer;
  readonly message: IncomingMessage;
}

const ecrTarget = 'AmazonEC2ContainerRegistry_V20150921.';

/** Reads a request to the end, and which operation of which service it is for. */
export async function readRequest(message: IncomingMessage): Promise<AwsRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) {
    chunks.push(Buffer.from(chunk));
  }
  const body = Buffer.concat(chunks);
  const target = String(message.headers['x-amz-target'] ?? '');
  const credential = readCredential(message.headers.authorization);
  const region = credential?.region ?? '';
  const common = { credential, region, body, message };
  if (target.startsWith(ecrTarget)) {
    const operation = target.slice(ecrTarget.length);
    return { ...common, service: 'ecr', operation, roleArn: undefined, parameters: new URLSearchParams() };
  }
  const parameters = new URLSearchParams(body.toString('utf8'));
  const operation = parameters.get('Action') ?? '';
  return {
    ...common,
    service: 'sts',
    operation,
    roleArn: parameters.get('RoleArn') ?? undefined,
    parameters,
  };
}
