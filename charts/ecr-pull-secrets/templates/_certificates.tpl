{{/* Permission to publish the CA, or to read that no webhook configuration exists to publish it in. */}}
{{- define "ecr-pull-secrets.webhookConfigurationRule" -}}
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [{{ include "ecr-pull-secrets.webhookName" . | quote }}]
  verbs: [get, list, watch{{ if include "ecr-pull-secrets.injectsByWebhook" . }}, patch{{ end }}]
{{- end -}}
