// Tests that the YAML parser of the bundle reads kubeconfigs as js-yaml does.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { load } from '../../build/js-yaml.ts';

const certificate = Buffer.from('-----BEGIN CERTIFICATE-----').toString('base64');

const kubeconfigs: Record<string, string> = {
  'as kubectl writes it': `apiVersion: v1
kind: Config
preferences: {}
current-context: kind-a
clusters:
- cluster:
    certificate-authority-data: ${certificate}
    server: https://127.0.0.1:6443
    tls-server-name: api.example
  name: kind-a
contexts:
- context: {cluster: kind-a, user: kind-a, namespace: shop}
  name: kind-a
users:
- name: kind-a
  user:
    client-certificate-data: ${certificate}
    client-key-data: ${certificate}
`,
  'with an exec plugin, comments, a folded text and quotes': `# generated
clusters: [{name: "a", cluster: {server: 'https://a.example', insecure-skip-tls-verify: true}}]
contexts: [{name: a@b, context: {cluster: a, user: "b"}}]
current-context: a@b
users:
  - name: b   # the only one
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: aws
        args: [eks, get-token, --cluster-name, "0123", --output, json]
        env:
          - {name: AWS_PROFILE, value: "yes"}
        installHint: >-
          Install the AWS CLI
          first.
        interactiveMode: Never
        provideClusterInfo: false
`,
  'with anchors, aliases and a merge key': `x: &shared
  insecure-skip-tls-verify: true
clusters:
- name: a
  cluster:
    <<: *shared
    server: https://a.example
contexts:
- name: c
  context: &context {cluster: a, user: u}
- name: d
  context: *context
current-context: d
users: [{name: u, user: {token: abc.def, username: on, password: 'null'}}]
`,
  'as JSON': JSON.stringify({
    clusters: [{ name: 'a', cluster: { server: 'https://a.example' } }],
    contexts: [{ name: 'a', context: { cluster: 'a', user: 'u' } }],
    users: [{ name: 'u', user: { token: 'ü\t"x"' } }],
    'current-context': 'a',
  }),
};

describe('the YAML parser of the bundle', () => {
  for (const [name, text] of Object.entries(kubeconfigs)) {
    it(`reads a kubeconfig ${name}`, () => {
      assert.deepEqual(readKubeconfig(JSON.stringify(load(text))), readKubeconfig(text));
    });
  }

  for (const text of ['a: [', 'a: 1\na: 2', '- a\nb: c', 'a: *missing']) {
    it(`fails as js-yaml does for ${JSON.stringify(text)}`, () => {
      assert.throws(() => new KubeConfig().loadFromString(text));
      assert.throws(() => load(text));
    });
  }
});

function readKubeconfig(text: string): unknown {
  const config = new KubeConfig();
  config.loadFromString(text);
  const { clusters, contexts, users, currentContext } = config;
  assert.ok(config.getCurrentCluster());
  return { clusters, contexts, users, currentContext };
}
