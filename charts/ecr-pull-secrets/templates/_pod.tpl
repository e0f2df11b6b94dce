{{/* Parts of the pod spec that the Deployments, the CronJob and the tests share. By default they meet the Pod Security Standard `restricted`. */}}

{{/*
What every pod of the chart has in common. Arguments: root; optional: serviceAccountName (without it, no token is mounted),
hostNetwork, affinity.
*/}}
{{- define "ecr-pull-secrets.podSettings" -}}
{{- $values := .root.Values -}}
{{- with .serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
automountServiceAccountToken: {{ and (not (empty .serviceAccountName)) (ne (toString $values.automountServiceAccountToken) "false") }}
{{- with include "ecr-pull-secrets.imagePullSecrets" .root | fromJsonArray }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if .hostNetwork }}
hostNetwork: true
{{- end }}
{{- with $values.dnsPolicy | default (ternary "ClusterFirstWithHostNet" "" (not (empty .hostNetwork))) }}
dnsPolicy: {{ . }}
{{- end }}
{{- with $values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "ecr-pull-secrets.withoutEmpty" $values.podSecurityContext | nindent 2 }}
nodeSelector:
  {{- /* The image is for Linux only, also where the operator replaced the default. */}}
  {{- mergeOverwrite (dict) ($values.nodeSelector | default dict) (dict "kubernetes.io/os" "linux") | toYaml | nindent 2 }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
A security context as YAML without the keys that are null or empty. Helm itself removes keys that are null, but not in the values of a
parent chart (Helm 4), and not if the chart has no such key.
*/}}
{{- define "ecr-pull-secrets.withoutEmpty" -}}
{{- $kept := dict -}}
{{- range $key, $value := . -}}
{{- if not (has (toString $value) (list "" "<nil>")) -}}{{- $_ := set $kept $key $value -}}{{- end -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{- define "ecr-pull-secrets.containerSecurityContext" -}}
{{- include "ecr-pull-secrets.withoutEmpty" .Values.securityContext -}}
{{- end -}}

{{/* `global.imagePullSecrets` and `imagePullSecrets`, whose entries are names or objects, as a list of objects in JSON. */}}
{{- define "ecr-pull-secrets.imagePullSecrets" -}}
{{- $secrets := list -}}
{{- range concat ((.Values.global | default dict).imagePullSecrets | default list) (.Values.imagePullSecrets | default list) -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- $secrets | uniq | toJson -}}
{{- end -}}

{{/* The affinity of the webhook's pods. With `hostNetwork`, two of them on one node would need the same ports. */}}
{{- define "ecr-pull-secrets.webhookAffinity" -}}
{{- $affinity := deepCopy (.Values.affinity | default dict) -}}
{{- if .Values.hostNetwork -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (include "ecr-pull-secrets.webhookSelector" . | fromYaml) -}}
{{- $apart := $affinity.podAntiAffinity | default dict -}}
{{- $required := append ($apart.requiredDuringSchedulingIgnoredDuringExecution | default list) $term -}}
{{- $_ := set $affinity "podAntiAffinity" (set $apart "requiredDuringSchedulingIgnoredDuringExecution" $required) -}}
{{- end -}}
{{- toYaml $affinity -}}
{{- end -}}

{{/* A label selector of the webhook's pods. */}}
{{- define "ecr-pull-secrets.webhookSelector" -}}
matchLabels:
  {{- include "ecr-pull-secrets.selectorLabels" . | nindent 2 }}
  app.kubernetes.io/component: webhook
{{- end -}}

{{/* `topologySpreadConstraints`, each with a selector, as JSON. */}}
{{- define "ecr-pull-secrets.topologySpreadConstraints" -}}
{{- $constraints := list -}}
{{- $selector := dict "labelSelector" (include "ecr-pull-secrets.webhookSelector" . | fromYaml) -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $constraints = append $constraints (hasKey . "labelSelector" | ternary . (merge (deepCopy .) $selector)) -}}
{{- end -}}
{{- $constraints | toJson -}}
{{- end -}}

{{/*
The strategy of the webhook's Deployment. With `hostNetwork`, a new pod needs the ports of an old one, and there may be no node
without one.
*/}}
{{- define "ecr-pull-secrets.strategy" -}}
{{- $surge := dict "maxSurge" 1 "maxUnavailable" 0 -}}
{{- $replace := dict "maxSurge" 0 "maxUnavailable" 1 -}}
{{- $default := dict "type" "RollingUpdate" "rollingUpdate" (empty .Values.hostNetwork | ternary $surge $replace) -}}
{{- toYaml (.Values.strategy | default $default) -}}
{{- end -}}

{{/*
The variables that the chart sets without those of `extraEnv`, as a list in JSON. The operator's take precedence, and server-side apply
refuses a variable that is in the list twice. Arguments: root, env.
*/}}
{{- define "ecr-pull-secrets.withoutExtraEnv" -}}
{{- $extra := list -}}
{{- range .root.Values.extraEnv -}}{{- $extra = append $extra .name -}}{{- end -}}
{{- $kept := list -}}
{{- range .env -}}{{- if not (has .name $extra) -}}{{- $kept = append $kept . -}}{{- end -}}{{- end -}}
{{- $kept | toJson -}}
{{- end -}}

{{/* `env` of a container that calls AWS, as a list in JSON. */}}
{{- define "ecr-pull-secrets.env" -}}
{{- $credentials := .Values.aws.credentials -}}
{{- $env := list -}}
{{- with .Values.aws.region -}}
{{- $env = append $env (dict "name" "AWS_REGION" "value" .) -}}
{{- end -}}
{{- if eq $credentials.source "webIdentity" -}}
{{- $env = concat $env (list
      (dict "name" "AWS_ROLE_ARN" "value" $credentials.webIdentity.roleArn)
      (dict "name" "AWS_WEB_IDENTITY_TOKEN_FILE" "value" "/var/run/secrets/aws/token")
      (dict "name" "AWS_ROLE_SESSION_NAME" "value" (include "ecr-pull-secrets.fullname" .))) -}}
{{- else if eq $credentials.source "rolesAnywhere" -}}
{{- $endpoint := printf "http://127.0.0.1:%d" (int $credentials.rolesAnywhere.port) -}}
{{- $env = append $env (dict "name" "AWS_EC2_METADATA_SERVICE_ENDPOINT" "value" $endpoint) -}}
{{- end -}}
{{- $own := include "ecr-pull-secrets.withoutExtraEnv" (dict "root" . "env" $env) | fromJsonArray -}}
{{- concat $own (.Values.extraEnv | default list) | toJson -}}
{{- end -}}

{{/* `env` and `envFrom` of a container that calls AWS; empty if it needs neither. */}}
{{- define "ecr-pull-secrets.environment" -}}
{{- with include "ecr-pull-secrets.env" . | fromJsonArray }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $from := .Values.extraEnvFrom | default list -}}
{{- with .Values.aws.credentials }}
{{- if eq .source "secret" }}
{{- $from = prepend $from (dict "secretRef" (dict "name" .secret.name)) }}
{{- end }}
{{- end }}
{{- with $from }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* `env` and `envFrom` with the proxy for the Roles Anywhere helper; empty if `extraEnv` and `extraEnvFrom` contain none. */}}
{{- define "ecr-pull-secrets.proxyEnvironment" -}}
{{- $proxies := list -}}
{{- range .Values.extraEnv -}}
{{- if regexMatch "^(?i)(https|no)_proxy$" .name -}}{{- $proxies = append $proxies . -}}{{- end -}}
{{- end -}}
{{- with $proxies }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Whether the webhook listens only on the address to which its Service leads: in the network of a node, which has other addresses, and
may have public ones. With IP families of your own, the Service may lead to another address of the pod than its first.
*/}}
{{- define "ecr-pull-secrets.listensOnOneAddress" -}}
{{- if and .Values.hostNetwork (not (or .Values.service.ipFamilies .Values.service.ipFamilyPolicy)) }}yes{{ end -}}
{{- end -}}

{{/* `env` and `envFrom` of the webhook's container; empty if it needs neither. */}}
{{- define "ecr-pull-secrets.webhookEnvironment" -}}
{{- $environment := include "ecr-pull-secrets.environment" . | fromYaml -}}
{{- if include "ecr-pull-secrets.listensOnOneAddress" . -}}
{{- $address := dict "name" "WEBHOOK_ADDRESS" "valueFrom" (dict "fieldRef" (dict "fieldPath" "status.podIP")) -}}
{{- $own := include "ecr-pull-secrets.withoutExtraEnv" (dict "root" . "env" (list $address)) | fromJsonArray -}}
{{- $_ := set $environment "env" (concat ($environment.env | default list) $own) -}}
{{- end -}}
{{- with $environment -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* The arguments of the webhook's container, as JSON. Kubernetes replaces the variable. */}}
{{- define "ecr-pull-secrets.webhookArguments" -}}
{{- $arguments := list "serve" "--config" "/etc/ecr-pull-secrets/config/config.yaml" -}}
{{- if include "ecr-pull-secrets.listensOnOneAddress" . -}}
{{- $arguments = append $arguments "--webhook-address=$(WEBHOOK_ADDRESS)" -}}
{{- end -}}
{{- concat $arguments (.Values.extraArgs | default list) | toJson -}}
{{- end -}}

{{/* Where programs expect the token of their ServiceAccount. */}}
{{- define "ecr-pull-secrets.tokenFolder" -}}
/var/run/secrets/kubernetes.io/serviceaccount
{{- end -}}

{{/*
Whether the chart mounts the token of the ServiceAccount, because Kubernetes does not and the operator's volumes do not either.
Arguments: root; optional: extraMounts, the operator's mounts in this pod.
*/}}
{{- define "ecr-pull-secrets.mountsToken" -}}
{{- $paths := list -}}
{{- range .extraMounts -}}{{- $paths = append $paths (trimSuffix "/" .mountPath) -}}{{- end -}}
{{- $isMounted := has (include "ecr-pull-secrets.tokenFolder" .root) $paths -}}
{{- if and (eq (toString .root.Values.automountServiceAccountToken) "false") (not $isMounted) }}yes{{ end -}}
{{- end -}}

{{/* The volume mounts of every container that runs the program. Arguments: those of "ecr-pull-secrets.mountsToken". */}}
{{- define "ecr-pull-secrets.baseVolumeMounts" -}}
- name: config
  mountPath: /etc/ecr-pull-secrets/config
  readOnly: true
{{- if include "ecr-pull-secrets.mountsToken" . }}
- name: api-token
  mountPath: {{ include "ecr-pull-secrets.tokenFolder" .root }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* The volumes of every pod that runs the program. Arguments: those of "ecr-pull-secrets.mountsToken". */}}
{{- define "ecr-pull-secrets.baseVolumes" -}}
- name: config
  configMap:
    name: {{ include "ecr-pull-secrets.fullname" .root }}
{{- if include "ecr-pull-secrets.mountsToken" . }}
# The content of the automatic mount.
- name: api-token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end }}
{{- end -}}

{{/* The volume mounts of a container that calls AWS. */}}
{{- define "ecr-pull-secrets.volumeMounts" -}}
{{- include "ecr-pull-secrets.baseVolumeMounts" (dict "root" . "extraMounts" .Values.extraVolumeMounts) }}
{{- if eq .Values.aws.credentials.source "webIdentity" }}
- name: aws-token
  mountPath: /var/run/secrets/aws
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ecr-pull-secrets.volumes" -}}
{{- $credentials := .Values.aws.credentials -}}
{{- include "ecr-pull-secrets.baseVolumes" (dict "root" . "extraMounts" .Values.extraVolumeMounts) }}
{{- if eq $credentials.source "webIdentity" }}
- name: aws-token
  projected:
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ $credentials.webIdentity.audience | quote }}
          expirationSeconds: {{ $credentials.webIdentity.expirationSeconds }}
{{- else if eq $credentials.source "rolesAnywhere" }}
- name: roles-anywhere
  secret:
    secretName: {{ $credentials.rolesAnywhere.certificateSecret }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The init containers of a pod that calls AWS. Sidecars are init containers with restartPolicy `Always`: they start before the program
and stop after it, in a Job too.
*/}}
{{- define "ecr-pull-secrets.initContainers" -}}
{{- if eq .Values.aws.credentials.source "rolesAnywhere" -}}
{{- /* Helm may render a Deployment before checks.yaml, and an image as text cannot be rendered. */ -}}
{{- if kindIs "string" .Values.aws.credentials.rolesAnywhere.image }}{{ include "ecr-pull-secrets.refuseKnownNames" . }}{{ end -}}
{{- with .Values.aws.credentials.rolesAnywhere -}}
- name: roles-anywhere
  image: {{ include "ecr-pull-secrets.imageReference" (dict "root" $ "image" .image "tag" "latest") | quote }}
  imagePullPolicy: {{ .image.pullPolicy }}
  restartPolicy: Always
  command: {{ .command | toJson }}
  args:
    - serve
    - --port={{ .port }}
    - --certificate=/etc/roles-anywhere/tls.crt
    - --private-key=/etc/roles-anywhere/tls.key
    - --trust-anchor-arn={{ .trustAnchorArn }}
    - --profile-arn={{ .profileArn }}
    - --role-arn={{ .roleArn }}
    {{- with include "ecr-pull-secrets.proxyEnvironment" $ | trim }}
    - --with-proxy
  {{- . | nindent 2 }}
    {{- end }}
  securityContext:
    {{- include "ecr-pull-secrets.containerSecurityContext" $ | nindent 4 }}
  resources:
    {{- toYaml (.resources | default dict) | nindent 4 }}
  volumeMounts:
    - name: roles-anywhere
      mountPath: /etc/roles-anywhere
      readOnly: true
{{ end -}}
{{- end -}}
{{- with .Values.extraInitContainers -}}
{{ toYaml . }}
{{- end -}}
{{- end -}}

{{/* The probes of a container with a status server. */}}
{{- define "ecr-pull-secrets.probes" -}}
livenessProbe:
  httpGet:
    path: /healthz
    port: status
  initialDelaySeconds: 5
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: status
  periodSeconds: 5
  timeoutSeconds: 3
{{- end -}}
