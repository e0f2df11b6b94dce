// A double of the ReplicaSet controller, which the test cluster lacks.
import { getItems } from '../../src/util/json.ts';
import { getValueAt } from '../chart/rendered-objects.ts';
import type { BulkClient } from '../support/bulk-requests.ts';
import { podWith } from '../support/pods.ts';

/** Creates pods of one ReplicaSet until there are enough. There is no ReplicaSet, only the owner reference of its pods. */
export class ReplicaSetDouble {
  readonly #bulk: BulkClient;
  readonly #path: string;
  readonly #image: string;
  readonly #replicas: number;

  constructor(bulk: BulkClient, namespace: string, image: string, replicas: number) {
    this.#bulk = bulk;
    this.#path = `/api/v1/namespaces/${namespace}/pods`;
    this.#image = image;
    this.#replicas = replicas;
  }

  /** Creates the missing pods. */
  async reconcile(): Promise<void> {
    const { length } = await this.listPods();
    for (let count = length; count < this.#replicas; count += 1) {
      const pod = podWith([this.#image]);
      const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'cart', uid: `uid-${this.#path}` };
      const metadata = {
        ...pod.metadata,
        labels: { owner: 'cart' },
        ownerReferences: [{ ...owner, controller: true }],
      };
      await this.#bulk.request('POST', this.#path, { ...pod, metadata });
    }
  }

  /** The pods that exist, and whether they have the reference. */
  async listPods(): Promise<{ readonly isInjected: boolean }[]> {
    const list = await this.#bulk.request('GET', `${this.#path}?labelSelector=owner%3Dcart`);
    return getItems(getValueAt(list, 'items')).map((pod) => ({
      isInjected: getItems(getValueAt(pod, 'spec.imagePullSecrets')).length > 0,
    }));
  }
}
