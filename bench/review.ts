// The AdmissionReview that the hot path is measured with.
import { buildPodReview } from '../test/webhook/admission-reviews.ts';

/**
 * Returns an AdmissionReview of 7.9 KB, as the API server sends it for a pod of a Deployment with a sidecar. Defaults,
 * managed fields and annotations are included because they make up most of the size of real pods.
 */
export function reviewText(namespace: string): string {
  const text = JSON.stringify(buildPodReview(pod(''), { namespace }));
  return JSON.stringify(buildPodReview(pod('x'.repeat(Math.max(0, 7_900 - text.length))), { namespace }));
}

function pod(padding: string) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: 'cart-7d4b9c6f5-',
      namespace: 'team-a',
      labels: { app: 'cart', 'pod-template-hash': '7d4b9c6f5' },
      annotations: { 'example.com/config': padding, 'prometheus.io/scrape': 'true' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'cart-7d4b9c6f5', uid: 'u', controller: true },
      ],
      managedFields: ['kube-controller-manager', 'kubectl'].map((manager) => ({
        manager,
        operation: 'Update',
        apiVersion: 'v1',
        fieldsType: 'FieldsV1',
        fieldsV1: Object.fromEntries(
          Array.from({ length: 20 }, (_, index) => [`f:field-${index}`, { 'f:name': {}, 'f:value': {} }]),
        ),
      })),
    },
    spec: {
      containers: ['cart', 'proxy'].map((name) => ({
        name,
        image: `123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop/${name}:1.4`,
        env: Array.from({ length: 15 }, (_, index) => ({
          name: `SETTING_${index}`,
          value: `value ${index}`,
        })),
        ports: [{ containerPort: 8080, protocol: 'TCP' }],
        resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
        imagePullPolicy: 'IfNotPresent',
      })),
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      serviceAccountName: 'default',
      schedulerName: 'default-scheduler',
      priority: 0,
      preemptionPolicy: 'PreemptLowerPriority',
    },
    status: {},
  };
}
