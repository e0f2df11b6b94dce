{{/* Each of these gives some text for yes and none for no. */}}

{{/* Whether the program runs all the time. */}}
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

{{/* Whether a Deployment and an account of their own do that. */}}
{{- define "ecr-pull-secrets.separatesCertificates" -}}
{{- if and (include "ecr-pull-secrets.managesCertificates" .) .Values.certificates.managed.controller.enabled }}yes{{ end -}}
{{- end -}}

{{/* Whether the pods that serve reviews do that. */}}
{{- define "ecr-pull-secrets.servesManaging" -}}
{{- if and (include "ecr-pull-secrets.managesCertificates" .) (not .Values.certificates.managed.controller.enabled) }}yes{{ end -}}
{{- end -}}

{{- define "ecr-pull-secrets.usesCertManager" -}}
{{- if and (include "ecr-pull-secrets.serves" .) (eq .Values.certificates.mode "certManager") }}yes{{ end -}}
{{- end -}}

{{/* Whether cert-manager is to make the CA, too. */}}
{{- define "ecr-pull-secrets.makesIssuer" -}}
{{- if and (include "ecr-pull-secrets.usesCertManager" .) (not .Values.certificates.certManager.issuerRef) }}yes{{ end -}}
{{- end -}}

{{/* ServiceAccounts that are to refer to the Secret, as YAML: names and patterns. The policy needs none of them. */}}
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
