{{/* The start of every private ECR host. The program itself matches the whole host. */}}
{{- define "ecr-pull-secrets.ecrImage" -}}
^[0-9]{12}[.]dkr[.-]ecr(-fips)?[.][a-z]{2,8}(-[a-z]+)+-[0-9]+[.]
{{- end -}}

{{/*
The starts of images in the registries of `config.hosts` and in the public registry, as JSON, which is also a list in CEL. The program
itself matches whole hosts, so a port of the public registry can be any.
*/}}
{{- define "ecr-pull-secrets.otherImages" -}}
{{- $starts := list -}}
{{- range $host := keys (.hosts | default dict) | sortAlpha -}}{{- $starts = append $starts (printf "%s/" $host) -}}{{- end -}}
{{- if .publicRegistry -}}
{{- $starts = concat $starts (list "public.ecr.aws/" "public.ecr.aws:" "ecr-public.aws.com/" "ecr-public.aws.com:") -}}
{{- end -}}
{{- $starts | toJson -}}
{{- end -}}

{{/*
CEL: whether a pod has an ECR image, in a container of any kind or in an image volume. With `handled`, images that the program skips do
not count: those of excluded accounts (the schema allows only digits and `*` in them), and those that `config.registries` denies. The
other hosts of `config` need no test of their account, because checks.yaml refuses those of excluded accounts. A pod without containers
(`null`) must not cause an error here, because the error would hide the API server's own validation message.
*/}}
{{- define "ecr-pull-secrets.hasEcrImage" -}}
{{- $others := include "ecr-pull-secrets.otherImages" (.root.Values.config | default dict) -}}
{{- $images := dict -}}
{{- range $image := list "c.image" "v.image.reference" -}}
{{- $isEcr := printf "%s.matches('%s')" $image (include "ecr-pull-secrets.ecrImage" $.root) -}}
{{- if $.handled -}}
{{- with (($.root.Values.config).exclude | default dict).accounts -}}
{{- $isEcr = printf "%s && !%s.matches('^(%s)[.]')" $isEcr $image (join "|" . | replace "*" "[0-9]*") -}}
{{- end -}}
{{- end -}}
{{- if ne $others "[]" -}}
{{- $isEcr = printf "(%s || %s.exists(start, %s.startsWith(start)))" $isEcr $others $image -}}
{{- end -}}
{{- if $.handled -}}
{{- with include "ecr-pull-secrets.celDenied" (dict "root" $.root "image" $image) -}}
{{- $isEcr = printf "%s && !%s" $isEcr . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $images $image $isEcr -}}
{{- end -}}
((dyn(object.spec.containers) == null ? [] : object.spec.containers)
+ (has(object.spec.initContainers) ? object.spec.initContainers : [])
+ (has(object.spec.ephemeralContainers) ? object.spec.ephemeralContainers : [])
).exists(c, has(c.image) && {{ get $images "c.image" }})
|| (has(object.spec.volumes) && object.spec.volumes.exists(v,
has(v.image) && has(v.image.reference) && {{ get $images "v.image.reference" }}))
{{- end -}}

{{/*
Match conditions of the policy and of the webhook. Only what no webhook can change may be a match condition of the policy, because the
API server evaluates a policy and calls a webhook a second time only if all match conditions were true the first time.
*/}}
{{- define "ecr-pull-secrets.matchConditions" -}}
# A mirror pod must not refer to Secrets.
- name: not-a-mirror-pod
  expression: >-
    !has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)
{{- $patterns := list }}
{{- range include "ecr-pull-secrets.notAdmittedNamespaces" . | fromJsonArray }}
{{- if contains "*" . }}{{ $patterns = append $patterns . }}{{ end }}
{{- end }}
{{- with $patterns }}
# A label selector cannot contain patterns.
- name: not-excluded-by-pattern
  expression: >-
    !{{ include "ecr-pull-secrets.celNames" (dict "names" .) }}
{{- end }}
{{- end -}}

{{/*
Requirements (key, operator, values) that select the namespaces for injection, as JSON. They use names and labels of namespaces and
no labels of pods, because anyone who can create pods could set those. The chart's own namespace is always excluded, so that the
program's pods never depend on the program.
*/}}
{{- define "ecr-pull-secrets.namespaceRequirements" -}}
{{- $names := list -}}
{{- range include "ecr-pull-secrets.notAdmittedNamespaces" . | fromJsonArray -}}
{{- if not (contains "*" .) -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}
{{- $requirements := list (dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" $names) -}}
{{- if eq .Values.namespaces.select "optIn" -}}
{{- $requirements = append $requirements (dict "key" .Values.namespaces.label "operator" "In" "values" (list "true")) -}}
{{- else -}}
{{- $requirements = append $requirements (dict "key" .Values.namespaces.label "operator" "NotIn" "values" (list "false")) -}}
{{- end -}}
{{- range $key, $value := (.Values.namespaces.selector).matchLabels -}}
{{- $requirements = append $requirements (dict "key" $key "operator" "In" "values" (list $value)) -}}
{{- end -}}
{{- concat $requirements ((.Values.namespaces.selector).matchExpressions | default list) | toJson -}}
{{- end -}}

{{/* The same requirements as a label selector. */}}
{{- define "ecr-pull-secrets.namespaceSelector" -}}
matchExpressions:
  {{- include "ecr-pull-secrets.namespaceRequirements" . | fromJsonArray | toYaml | nindent 2 }}
{{- end -}}

{{/* The same requirements as a label selector in one line, as for kubectl. */}}
{{- define "ecr-pull-secrets.namespaceSelectorLine" -}}
{{- $terms := list -}}
{{- range include "ecr-pull-secrets.namespaceRequirements" . | fromJsonArray -}}
{{- if eq .operator "Exists" -}}{{- $terms = append $terms .key -}}
{{- else if eq .operator "DoesNotExist" -}}{{- $terms = append $terms (printf "!%s" .key) -}}
{{- else -}}{{- $terms = append $terms (printf "%s %s (%s)" .key (lower .operator) (join "," .values)) -}}
{{- end -}}
{{- end -}}
{{ join "," $terms }}
{{- end -}}

{{/* The CA bundle as base64-encoded PEM, from PEM or base64-encoded PEM. */}}
{{- define "ecr-pull-secrets.caBundle" -}}
{{- $bundle := .Values.certificates.caBundle -}}
{{- if contains "-----BEGIN" $bundle }}{{ $bundle | b64enc }}{{ else }}{{ $bundle | nospace }}{{ end -}}
{{- end -}}
