{{/* Predicates that depend on the values. Each renders a text for true and nothing for false. */}}

{{/* Whether the Deployment of the webhook exists. */}}
{{- define "ecr-pull-secrets.serves" -}}
{{- if or (not .Values.cronJob.enabled) .Values.cronJob.besideDeployment }}yes{{ end -}}
{{- end -}}

{{/*
Whether the API server offers MutatingAdmissionPolicy. Helm knows its kinds if it is connected, or if a GitOps tool passes all of them
as --api-versions. Otherwise (`helm template`), the version of Kubernetes decides.
*/}}
{{- define "ecr-pull-secrets.offersPolicy" -}}
{{- if .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
yes
{{- else if not (.Capabilities.APIVersions.Has "v1/Pod") -}}
{{- if semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{/* The injection mode: webhook, policy, both or none. */}}
{{- define "ecr-pull-secrets.injection" -}}
{{- if ne .Values.injection "auto" -}}
{{ .Values.injection }}
{{- else if not (include "ecr-pull-secrets.serves" .) -}}
none
{{- else if include "ecr-pull-secrets.offersPolicy" . -}}
both
{{- else -}}
webhook
{{- end -}}
{{- end -}}

{{- define "ecr-pull-secrets.injectsByWebhook" -}}
{{- if and (include "ecr-pull-secrets.serves" .) (has (include "ecr-pull-secrets.injection" .) (list "webhook" "both")) }}yes{{ end -}}
{{- end -}}

{{- define "ecr-pull-secrets.injectsByPolicy" -}}
{{- if has (include "ecr-pull-secrets.injection" .) (list "policy" "both") }}yes{{ end -}}
{{- end -}}

{{- define "ecr-pull-secrets.provisions" -}}
{{- if ((.Values.config).provisioning | default dict).registries }}yes{{ end -}}
{{- end -}}

{{- define "ecr-pull-secrets.managesCertificates" -}}
{{- if and (include "ecr-pull-secrets.serves" .) (eq .Values.certificates.mode "managed") }}yes{{ end -}}
{{- end -}}

{{/* Whether a separate Deployment with its own ServiceAccount manages the certificates. */}}
{{- define "ecr-pull-secrets.separatesCertificates" -}}
{{- if and (include "ecr-pull-secrets.managesCertificates" .) .Values.certificates.managed.controller.enabled }}yes{{ end -}}
{{- end -}}

{{/* Whether the webhook's pods manage the certificates. */}}
{{- define "ecr-pull-secrets.servesManaging" -}}
{{- if and (include "ecr-pull-secrets.managesCertificates" .) (not .Values.certificates.managed.controller.enabled) }}yes{{ end -}}
{{- end -}}

{{- define "ecr-pull-secrets.usesCertManager" -}}
{{- if and (include "ecr-pull-secrets.serves" .) (eq .Values.certificates.mode "certManager") }}yes{{ end -}}
{{- end -}}

{{/* Whether cert-manager also creates the CA. */}}
{{- define "ecr-pull-secrets.makesIssuer" -}}
{{- if and (include "ecr-pull-secrets.usesCertManager" .) (not .Values.certificates.certManager.issuerRef) }}yes{{ end -}}
{{- end -}}

{{/*
Names and patterns of the ServiceAccounts that get a reference to the Secret, as JSON. Default with `injection: policy`: none. With
`both` the default is that of `webhook`, so that a new version of Kubernetes, which `auto` follows, removes no reference.
*/}}
{{- define "ecr-pull-secrets.referringAccounts" -}}
{{- $provisioning := (.Values.config).provisioning | default dict -}}
{{- if hasKey $provisioning "serviceAccounts" -}}
{{ $provisioning.serviceAccounts | toJson }}
{{- else if eq (include "ecr-pull-secrets.injection" .) "policy" -}}
[]
{{- else -}}
["default"]
{{- end -}}
{{- end -}}

{{/* Whether the program checks pending pods. It needs to list them, and an admission that may have missed one. */}}
{{- define "ecr-pull-secrets.catchesUp" -}}
{{- $injects := or (include "ecr-pull-secrets.injectsByWebhook" .) (include "ecr-pull-secrets.injectsByPolicy" .) -}}
{{- $disabled := eq (toString ((.Values.config).catchUp | default dict).enabled) "false" -}}
{{- if and (include "ecr-pull-secrets.serves" .) $injects .Values.rbac.listPods (not $disabled) }}yes{{ end -}}
{{- end -}}

{{/* Whether the program deletes pods that admission missed. */}}
{{- define "ecr-pull-secrets.evicts" -}}
{{- if and (include "ecr-pull-secrets.catchesUp" .) ((.Values.config).catchUp | default dict).evict }}yes{{ end -}}
{{- end -}}

{{/* Whether rules in `config.registries` select namespaces by their labels. */}}
{{- define "ecr-pull-secrets.rulesSelectByLabels" -}}
{{- range (.Values.config).registries }}{{ if (.namespaces | default dict).selector }}yes{{ end }}{{ end -}}
{{- end -}}

{{/* The ServiceAccounts whose tokens rules in `config.registries` exchange for a session of a role, as JSON. */}}
{{- define "ecr-pull-secrets.tokenAccounts" -}}
{{- $names := list -}}
{{- range (.Values.config).registries -}}{{- with .webIdentity -}}{{- $names = append $names .serviceAccount -}}{{- end -}}{{- end -}}
{{ $names | uniq | toJson }}
{{- end -}}

{{/* The audiences of these tokens, as JSON. */}}
{{- define "ecr-pull-secrets.tokenAudiences" -}}
{{- $audiences := list -}}
{{- range (.Values.config).registries -}}{{- with .webIdentity -}}{{- $audiences = append $audiences (.audience | default "sts.amazonaws.com") -}}{{- end -}}{{- end -}}
{{ $audiences | uniq | toJson }}
{{- end -}}
