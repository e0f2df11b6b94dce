import type { AwsRequest } from './requests.ts';

/** A call that the double received. Holds no secret: neither tokens nor policies, but an external ID. */
export interface Call {
  readonly service: 'ecr' | 'sts';
  readonly operation: string;
  /** From the signature's scope; empty if the request was not signed. */
  readonly region: string;
  readonly accessKeyId: string | undefined;
  /** Whose key it was, if the double knows it. */
  readonly principal: string | undefined;
  readonly roleArn: string | undefined;
  readonly externalId: string | undefined;
  readonly sessionName: string | undefined;
  readonly policy: string | undefined;
  /** The `Host` header. */
  readonly host: string;
  readonly userAgent: string;
  /** In ms since the epoch by the double's clock. */
  readonly at: number;
}

/** Counts calls, and how many of an identity and region were under way at once. */
export class Calls {
  readonly all: Call[] = [];
  readonly #underWay = new Map<string, number>();
  #peak = 0;

  /** The most calls of GetAuthorizationToken by one identity in one region that were under way at the same time. */
  get peak(): number {
    return this.#peak;
  }

  of(operation: string): Call[] {
    return this.all.filter((call) => call.operation === operation);
  }

  /** Notes a call; gives what is to be called when it has ended. */
  begin(request: AwsRequest, principal: string | undefined, at: number): () => void {
    const { service, operation, region, roleArn, parameters, message, credential } = request;
    this.all.push({
      service,
      operation,
      region,
      roleArn,
      principal,
      at,
      accessKeyId: credential?.accessKeyId,
      externalId: parameters.get('ExternalId') ?? undefined,
      sessionName: parameters.get('RoleSessionName') ?? undefined,
      policy: parameters.get('Policy') ?? undefined,
      host: String(message.headers.host),
      userAgent: String(message.headers['user-agent']),
    });
    if (operation !== 'GetAuthorizationToken') {
      return () => {};
    }
    const key = `${principal} ${region}`;
    this.#add(key, 1);
    return () => this.#add(key, -1);
  }

  #add(key: string, change: number): void {
    const now = (this.#underWay.get(key) ?? 0) + change;
    this.#underWay.set(key, now);
    this.#peak = Math.max(this.#peak, now);
  }
}
