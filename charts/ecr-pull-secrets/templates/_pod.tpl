{{/* Parts of the pod spec that the Deployments, the CronJob and the tests share. They meet the Pod Security Standard `restricted`. */}}

{{- define "ecr-pull-secrets.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "ecr-pull-secrets.containerSecurityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end -}}

{{- define "ecr-pull-secrets.env" -}}
{{- $credentials := .Values.aws.credentials -}}
{{- with .Values.aws.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- if eq $credentials.source "webIdentity" }}
- name: AWS_ROLE_ARN
  value: {{ $credentials.webIdentity.roleArn | quote }}
- name: AWS_WEB_IDENTITY_TOKEN_FILE
  value: /var/run/secrets/aws/token
- name: AWS_ROLE_SESSION_NAME
  value: {{ include "ecr-pull-secrets.fullname" . }}
{{- else if eq $credentials.source "rolesAnywhere" }}
- name: AWS_EC2_METADATA_SERVICE_ENDPOINT
  value: http://127.0.0.1:{{ $credentials.rolesAnywhere.port }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* `env` and `envFrom` of a container that calls AWS; empty if it needs neither. */}}
{{- define "ecr-pull-secrets.environment" -}}
{{- with include "ecr-pull-secrets.env" . | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.aws.credentials }}
{{- if eq .source "secret" }}
envFrom:
  - secretRef:
      name: {{ .secret.name }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ecr-pull-secrets.volumeMounts" -}}
- name: config
  mountPath: /etc/ecr-pull-secrets/config
  readOnly: true
{{- if eq .Values.aws.credentials.source "webIdentity" }}
- name: aws-token
  mountPath: /var/run/secrets/aws
  readOnly: true
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ecr-pull-secrets.volumes" -}}
{{- $credentials := .Values.aws.credentials -}}
- name: config
  configMap:
    name: {{ include "ecr-pull-secrets.fullname" . }}
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
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Sidecars as init containers with restartPolicy `Always`: they start before the program and stop after it, in a Job too. */}}
{{- define "ecr-pull-secrets.sidecars" -}}
{{- if eq .Values.aws.credentials.source "rolesAnywhere" -}}
{{- with .Values.aws.credentials.rolesAnywhere -}}
- name: roles-anywhere
  image: {{ .image | quote }}
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
  securityContext:
    {{- include "ecr-pull-secrets.containerSecurityContext" $ | nindent 4 }}
  resources:
    {{- toYaml .resources | nindent 4 }}
  volumeMounts:
    - name: roles-anywhere
      mountPath: /etc/roles-anywhere
      readOnly: true
{{- end -}}
{{- end -}}
{{- end -}}
