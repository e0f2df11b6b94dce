{{- define "ecr-pull-secrets.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{/* The base name of all objects. At most 48 characters, so that it is a DNS label with every suffix. */}}
{{- define "ecr-pull-secrets.fullname" -}}
{{- $name := include "ecr-pull-secrets.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Webhooks run in the order of their names. This one runs after those that may rewrite images to ECR. */}}
{{- define "ecr-pull-secrets.webhookName" -}}
zz-{{ include "ecr-pull-secrets.fullname" . }}
{{- end -}}

{{/* The name of the cluster-scoped policy and its binding. */}}
{{- define "ecr-pull-secrets.fenceName" -}}
{{ include "ecr-pull-secrets.fullname" . }}-fence
{{- end -}}

{{- define "ecr-pull-secrets.evictionFenceName" -}}
{{ include "ecr-pull-secrets.fenceName" . }}-evictions
{{- end -}}

{{- define "ecr-pull-secrets.tokenFenceName" -}}
{{ include "ecr-pull-secrets.fenceName" . }}-tokens
{{- end -}}

{{- define "ecr-pull-secrets.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "ecr-pull-secrets.fullname" .) -}}
{{- end -}}

{{/* The name of the CronJob, which has at most 52 characters, so that the names of its Jobs fit. */}}
{{- define "ecr-pull-secrets.syncName" -}}
{{ include "ecr-pull-secrets.fullname" . | trunc 47 | trimSuffix "-" }}-sync
{{- end -}}

{{/* The name of the certificate controller's objects. */}}
{{- define "ecr-pull-secrets.certificatesName" -}}
{{ include "ecr-pull-secrets.fullname" . }}-certificates
{{- end -}}

{{- define "ecr-pull-secrets.certificatesAccountName" -}}
{{- .Values.certificates.managed.controller.serviceAccount.name | default (include "ecr-pull-secrets.certificatesName" .) -}}
{{- end -}}

{{/* The ServiceAccount that manages certificates. */}}
{{- define "ecr-pull-secrets.managingAccountName" -}}
{{- if include "ecr-pull-secrets.separatesCertificates" . -}}
{{ include "ecr-pull-secrets.certificatesAccountName" . }}
{{- else -}}
{{ include "ecr-pull-secrets.serviceAccountName" . }}
{{- end -}}
{{- end -}}

{{- define "ecr-pull-secrets.tlsSecretName" -}}
{{- .Values.certificates.secretName | default (printf "%s-tls" (include "ecr-pull-secrets.fullname" .)) -}}
{{- end -}}

{{/* The name of the pull Secret in every namespace. */}}
{{- define "ecr-pull-secrets.secretName" -}}
{{- (.Values.config).secretName | default "ecr-pull-secrets" -}}
{{- end -}}

{{/*
The reference of an image (registry, repository, tag, digest). `global.imageRegistry`, or else `registry`, replaces the registry in
`repository`. Arguments: root, image, and tag as the default.
*/}}
{{- define "ecr-pull-secrets.imageReference" -}}
{{- $registry := (.root.Values.global | default dict).imageRegistry | default .image.registry -}}
{{- $repository := .image.repository -}}
{{- if $registry -}}
{{- /* The first part of a repository is a registry if it has a dot or a port, or is localhost. */ -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" $registry) (regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" $repository "") -}}
{{- end -}}
{{- if .image.digest -}}
{{ $repository }}@{{ .image.digest }}
{{- else -}}
{{ $repository }}:{{ .image.tag | default .tag }}
{{- end -}}
{{- end -}}

{{- define "ecr-pull-secrets.image" -}}
{{- include "ecr-pull-secrets.imageReference" (dict "root" . "image" .Values.image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- define "ecr-pull-secrets.selectorLabels" -}}
{{- dict "app.kubernetes.io/name" (include "ecr-pull-secrets.name" .) "app.kubernetes.io/instance" .Release.Name | toYaml -}}
{{- end -}}
