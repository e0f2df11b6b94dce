{{/* Rules that several NetworkPolicies share. */}}

{{/* Ingress to the status port from the pod of `helm test` and `metricsFrom`. Probes of the kubelet bypass NetworkPolicies. */}}
{{- define "ecr-pull-secrets.statusIngress" -}}
- ports:
    - port: {{ include "ecr-pull-secrets.statusPort" . }}
      protocol: TCP
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
    {{- range .Values.networkPolicy.dnsPorts | default (list 53) }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.apiServerCidrs }}
  to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  {{- end }}
{{- end -}}

{{/*
Ports of the proxy and of the AWS endpoints in `extraEnv`, and of the endpoints in `config.hosts`, except 443, as JSON. Their hosts are not
used, because most are names, which a NetworkPolicy cannot contain. A value set by `valueFrom` is unknown here.
*/}}
{{- define "ecr-pull-secrets.endpointPorts" -}}
{{- $names := "^((?i)https_proxy|(?i)all_proxy|AWS_ENDPOINT_URL(_[A-Z0-9_]+)?|AWS_CONTAINER_CREDENTIALS_FULL_URI|AWS_EC2_METADATA_SERVICE_ENDPOINT)$" -}}
{{- /* scheme, user information, host, port */ -}}
{{- $url := "^(?:([A-Za-z0-9+.-]+)://)?(?:[^/@]*@)?(?:\\[[^\\]]*\\]|[^:/?#]+)(?::([0-9]+))?(?:[/?#].*)?$" -}}
{{- $defaultPorts := dict "https" "443" "socks" "1080" "socks4" "1080" "socks5" "1080" "socks5h" "1080" -}}
{{- $urls := list -}}
{{- range .Values.extraEnv -}}
{{- if regexMatch $names .name -}}{{- $urls = append $urls (.value | default "" | toString | trim) -}}{{- end -}}
{{- end -}}
{{- range (.Values.config).hosts -}}{{- $urls = append $urls (.endpoint | default "") -}}{{- end -}}
{{- $ports := list -}}
{{- range $value := $urls -}}
{{- if regexMatch $url $value -}}
{{- $scheme := regexReplaceAll $url $value "${1}" | lower -}}
{{- $port := regexReplaceAll $url $value "${2}" | default (get $defaultPorts $scheme) | default "80" -}}
{{- if ne $port "443" -}}{{- $ports = append $ports (int $port) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* Addresses of the HTTP endpoints from which the source of the credentials gets them, as JSON. */}}
{{- define "ecr-pull-secrets.credentialCidrs" -}}
{{- $instanceMetadata := list "169.254.169.254/32" "fd00:ec2::254/128" -}}
{{- $podIdentity := list "169.254.170.23/32" "fd00:ec2::23/128" -}}
{{- $containerCredentials := list "169.254.170.2/32" -}}
{{- $sources := dict
      "default" (concat $podIdentity $containerCredentials $instanceMetadata)
      "instanceProfile" $instanceMetadata -}}
{{- get $sources .Values.aws.credentials.source | default list | toJson -}}
{{- end -}}

{{- define "ecr-pull-secrets.egressToAws" -}}
# Amazon ECR, AWS STS and IAM Roles Anywhere. Any address, because a NetworkPolicy cannot contain host names.
- ports:
    - port: 443
      protocol: TCP
{{- with include "ecr-pull-secrets.credentialCidrs" . | fromJsonArray }}
# Endpoints of AWS credentials: EKS Pod Identity, container credentials, instance metadata.
- ports:
    - port: 80
      protocol: TCP
  to:
    {{- range . }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
{{- end }}
{{- with include "ecr-pull-secrets.endpointPorts" . | fromJsonArray }}
# The proxy and the AWS endpoints in `extraEnv`, and the endpoints in `config.hosts`.
- ports:
    {{- range . }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The IP families of a Service. */}}
{{- define "ecr-pull-secrets.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end -}}
