{{/* Rules that the NetworkPolicies have in common. */}}

{{/* To the status port: `helm test`, and who may read metrics. Kubelets probe it past any policy. */}}
{{- define "ecr-pull-secrets.statusIngress" -}}
- ports:
    - port: {{ include "ecr-pull-secrets.statusPort" . }}
  {{- with .Values.networkPolicy.metricsFrom }}
  from:
    - podSelector:
        matchLabels:
          {{- include "ecr-pull-secrets.selectorLabels" $ | nindent 10 }}
          app.kubernetes.io/component: test
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "ecr-pull-secrets.egressToApiServer" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - port: {{ . }}
    {{- end }}
  {{- with .Values.networkPolicy.apiServerCidrs }}
  to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  {{- end }}
{{- end -}}

{{- define "ecr-pull-secrets.egressToAws" -}}
{{- $source := .Values.aws.credentials.source -}}
# AWS, by names that no NetworkPolicy can hold
- ports:
    - port: 443
{{- if has $source (list "default" "instanceProfile") }}
# EKS Pod Identity's agent and instance metadata
- ports:
    - port: 80
  to:
    {{- if eq $source "default" }}
    - ipBlock:
        cidr: 169.254.170.23/32
    - ipBlock:
        cidr: fd00:ec2::23/128
    {{- end }}
    - ipBlock:
        cidr: 169.254.169.254/32
    - ipBlock:
        cidr: fd00:ec2::254/128
{{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
