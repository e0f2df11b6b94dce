// Creates Kubernetes Events.
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { sendJson } from './request.ts';
import { getResourcePath } from './resource.ts';

/** An Event about an object, for the users of its namespace. */
export interface KubeEvent {
  /** Name of the Event. It is derived from what happened, so that several replicas create one Event only. */
  readonly name: string;
  readonly object: {
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
    readonly uid?: string;
  };
  readonly type: 'Normal' | 'Warning';
  /** One word, in CamelCase. */
  readonly reason: string;
  /** At most 1,024 characters. */
  readonly message: string;
  /** When it happened, in ms since the epoch. */
  readonly at: number;
}

/** Creates Events. Every failure is a {@link KubeError}. */
export interface EventApi {
  /** @returns false if an Event of this name exists already */
  create(event: KubeEvent): Promise<boolean>;
}

/**
 * Creates the API for Events.
 * @param component the Event's source
 */
export function createEventApi(config: ClusterConfig, component: string): EventApi {
  return {
    create: async (event) => {
      const { namespace } = event.object;
      try {
        await sendJson(config, {
          method: 'POST',
          path: getResourcePath('events', namespace),
          body: createEventBody(event, component),
          operation: `create Event ${namespace}/${event.name}`,
        });
        return true;
      } catch (error) {
        if (error instanceof KubeError && error.code === 'conflict') {
          return false;
        }
        throw error;
      }
    },
  };
}

/** Schema: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ (its older form in the core group). */
function createEventBody({ name, object, type, reason, message, at }: KubeEvent, component: string) {
  const time = new Date(at).toISOString();
  return {
    metadata: { name, namespace: object.namespace },
    involvedObject: { apiVersion: 'v1', ...object },
    type,
    reason,
    message: message.slice(0, 1024),
    source: { component },
    reportingComponent: component,
    reportingInstance: component,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
}
