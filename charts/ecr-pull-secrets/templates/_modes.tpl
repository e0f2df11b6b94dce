{{/* Predicates that depend on the values. Each renders a text for true and nothing for false. */}}

{{/* Whether the Deployment of the webhook exists. */}}
{{- define "ecr-pull-secrets.serves" -}}
{{- if or (not .Values.cronJob.enabled) .Values.cronJob.besideDeployment }}yes{{ end -}}
{{- end -}}

{{- define "ecr-pull-secrets.injectsByWebhook" -}}
{{- if and (include "ecr-pull-secrets.serves" .) (eq .Values.injection "webhook") }}yes{{ end -}}
{{- end -}}

{{- define "ecr-pull-secrets.injectsByPolicy" -}}
{{- if eq .Values.injection "policy" }}yes{{ end -}}
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

{{/* Names and patterns of the ServiceAccounts that get a reference to the Secret, as JSON. Default with `injection: policy`: none. */}}
{{- define "ecr-pull-secrets.referringAccounts" -}}
{{- $provisioning := (.Values.config).provisioning | default dict -}}
{{- if hasKey $provisioning "serviceAccounts" -}}
{{ $provisioning.serviceAccounts | toJson }}
{{- else if include "ecr-pull-secrets.injectsByPolicy" . -}}
[]
{{- else -}}
["default"]
{{- end -}}
{{- end -}}
