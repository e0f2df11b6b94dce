{{/*
Parts that the fence policies share, and their CEL expressions. Every text is inserted as a JSON string, whose escapes are valid in
CEL, so that no value can end a literal.
*/}}

{{/* The match condition that holds for requests of the program only. */}}
{{- define "ecr-pull-secrets.fenceCaller" -}}
- name: request-of-the-webhook
  expression: >-
    request.userInfo.username == {{ printf "system:serviceaccount:%s:%s" .Release.Namespace (include "ecr-pull-secrets.serviceAccountName" .) | toJson }}
{{- end -}}

{{/* The variables that say whether the namespace of a request is excluded and whether it is selected for injection. */}}
{{- define "ecr-pull-secrets.fenceInjected" -}}
- name: labels
  expression: namespaceObject.metadata.?labels.orValue({})
- name: excluded
  expression: >-
    {{ include "ecr-pull-secrets.celNames" (dict "names" (include "ecr-pull-secrets.notAdmittedNamespaces" . | fromJsonArray)) }}
# Selected by the selector of the webhook or the policy.
- name: injected
  expression: >-
    {{ include "ecr-pull-secrets.celInjected" . }}
{{- end -}}

{{/* The variable that says whether config.provisioning selects the namespace. It needs those of fenceInjected. */}}
{{- define "ecr-pull-secrets.fenceProvisioned" -}}
# Selected by config.provisioning, which may name excluded namespaces such as kube-system.
- name: provisioned
  expression: >-
    {{ include "ecr-pull-secrets.celProvisioned" . }}
{{- end -}}

{{/* Whether `variables.labels` satisfy one requirement (key, operator, values), as labels.Requirement in Kubernetes. */}}
{{- define "ecr-pull-secrets.celRequirement" -}}
{{- $key := .key | toJson -}}
{{- $has := printf "%s in variables.labels" $key -}}
{{- $holds := printf "%s && variables.labels[%s] in %s" $has $key (.values | default list | toJson) -}}
{{- if eq .operator "In" -}}({{ $holds }})
{{- else if eq .operator "NotIn" -}}!({{ $holds }})
{{- else if eq .operator "Exists" -}}({{ $has }})
{{- else if eq .operator "DoesNotExist" -}}!({{ $has }})
{{- else -}}{{- fail (printf "namespaces.selector.matchExpressions: operator %s is unknown; use In, NotIn, Exists or DoesNotExist" (toJson .operator)) -}}
{{- end -}}
{{- end -}}

{{/* Whether the name of the namespace matches one of `names`, a list of names and patterns. */}}
{{- define "ecr-pull-secrets.celNames" -}}
{{- $exact := list -}}
{{- $terms := list -}}
{{- range .names -}}
{{- if contains "*" . -}}
{{- $pieces := list -}}
{{- range splitList "*" . -}}{{- $pieces = append $pieces (regexQuoteMeta .) -}}{{- end -}}
{{- $terms = append $terms (printf "request.namespace.matches(%s)" (printf "^%s$" (join ".*" $pieces) | toJson)) -}}
{{- else -}}
{{- $exact = append $exact . -}}
{{- end -}}
{{- end -}}
{{- if $exact -}}{{- $terms = prepend $terms (printf "request.namespace in %s" (toJson $exact)) -}}{{- end -}}
{{- if $terms -}}({{ join " || " $terms }}){{- else -}}false{{- end -}}
{{- end -}}

{{/* Whether the namespace is selected for injection, as by "ecr-pull-secrets.namespaceSelector". */}}
{{- define "ecr-pull-secrets.celInjected" -}}
{{- if or (include "ecr-pull-secrets.injectsByWebhook" .) (include "ecr-pull-secrets.injectsByPolicy" .) -}}
{{- $terms := list -}}
{{- range include "ecr-pull-secrets.namespaceRequirements" . | fromJsonArray -}}
{{- $terms = append $terms (include "ecr-pull-secrets.celRequirement" .) -}}
{{- end -}}
{{ join " && " $terms }}
{{- else -}}
false
{{- end -}}
{{- end -}}

{{/*
Whether config.provisioning selects the namespace. If both names and selector are set, both must match. An excluded namespace is
selected only if config.provisioning names it without `*`; checks.yaml refuses such a name if the operator excludes it as well.
*/}}
{{- define "ecr-pull-secrets.celProvisioned" -}}
{{- if include "ecr-pull-secrets.provisions" . -}}
{{- $namespaces := (.Values.config).provisioning.namespaces | default dict -}}
{{- $terms := list -}}
{{- $named := include "ecr-pull-secrets.namedNamespaces" . | fromJsonArray -}}
{{- $terms = append $terms (ternary (printf "(!variables.excluded || request.namespace in %s)" (toJson $named)) "!variables.excluded" (not (empty $named))) -}}
{{- with $namespaces.names -}}{{- $terms = append $terms (include "ecr-pull-secrets.celNames" (dict "names" .)) -}}{{- end -}}
{{- range include "ecr-pull-secrets.provisioningRequirements" . | fromJsonArray -}}
{{- $terms = append $terms (include "ecr-pull-secrets.celRequirement" .) -}}
{{- end -}}
{{ join " && " $terms }}
{{- else -}}
false
{{- end -}}
{{- end -}}

{{- define "ecr-pull-secrets.provisioningRequirements" -}}
{{- $selector := (((.Values.config).provisioning | default dict).namespaces | default dict).selector -}}
{{- include "ecr-pull-secrets.selectorRequirements" (dict "selector" $selector "setting" "config.provisioning.namespaces.selector") -}}
{{- end -}}

{{/*
A label selector as requirements (key, operator, values) in JSON. `setting` is its path, for errors. The grammar is that of
k8s.io/apimachinery/pkg/labels without `<` and `>`, which the program does not support either.
*/}}
{{- define "ecr-pull-secrets.selectorRequirements" -}}
{{- $setting := .setting -}}
{{- $selector := .selector | default "" -}}
{{- $name := "[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?" -}}
{{- $key := printf "(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?%s" $name -}}
{{- $compared := printf "(%s)\\s*(==|=|!=)\\s*((?:%s)?)" $key $name -}}
{{- $listed := printf "(%s)\\s+(in|notin)\\s*\\((\\s*%s\\s*(?:,\\s*(?:%s)?\\s*)*)\\)" $key $name $name -}}
{{- $present := printf "(!?)\\s*(%s)" $key -}}
{{- $whole := printf "^\\s*(?:%s|%s|%s)\\s*$" $listed $compared $present -}}
{{- $requirements := list -}}
{{- if trim $selector -}}
{{- /* A comma within parentheses separates values, not requirements. */ -}}
{{- $shielded := $selector -}}
{{- range regexFindAll "\\([^()]*\\)" $selector -1 -}}
{{- $shielded = replace . (replace "," "|" .) $shielded -}}
{{- end -}}
{{- range splitList "," $shielded -}}
{{- $text := replace "|" "," . -}}
{{- if not (regexMatch $whole $text) -}}
{{- fail (printf "%s: %s is not a valid requirement of a label selector; use a form such as team=shop, env!=test, tier in (a,b), tier notin (c), x or !x" $setting (toJson (trim $text))) -}}
{{- end -}}
{{- $text = trim $text -}}
{{- if regexMatch (printf "^%s$" $listed) $text -}}
{{- $values := list -}}
{{- range splitList "," (regexReplaceAll (printf "^%s$" $listed) $text "${3}") -}}{{- $values = append $values (trim .) -}}{{- end -}}
{{- $operator := ternary "In" "NotIn" (eq (regexReplaceAll (printf "^%s$" $listed) $text "${2}") "in") -}}
{{- $requirements = append $requirements (dict "key" (regexReplaceAll (printf "^%s$" $listed) $text "${1}") "operator" $operator "values" $values) -}}
{{- else if regexMatch (printf "^%s$" $compared) $text -}}
{{- $operator := ternary "NotIn" "In" (eq (regexReplaceAll (printf "^%s$" $compared) $text "${2}") "!=") -}}
{{- $value := regexReplaceAll (printf "^%s$" $compared) $text "${3}" -}}
{{- $requirements = append $requirements (dict "key" (regexReplaceAll (printf "^%s$" $compared) $text "${1}") "operator" $operator "values" (list $value)) -}}
{{- else -}}
{{- $operator := ternary "DoesNotExist" "Exists" (hasPrefix "!" $text) -}}
{{- $requirements = append $requirements (dict "key" (regexReplaceAll (printf "^%s$" $present) $text "${2}") "operator" $operator) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $requirements | toJson -}}
{{- end -}}

{{/*
Whether a write adds, changes and removes only permitted entries in a map of an object. `field` is a path such as
`?metadata.?labels`, `permitted` an expression on the key `k`. Entries for which `removable` holds may be removed as well.
*/}}
{{- define "ecr-pull-secrets.celChangesOnly" -}}
object.{{ .field }}.orValue({}).all(k, {{ .permitted }} || variables.old.{{ .field }}[?k] == object.{{ .field }}[?k]) && variables.old.{{ .field }}.orValue({}).all(k, {{ .permitted }}{{ with .removable }} || {{ . }}{{ end }} || k in object.{{ .field }}.orValue({}))
{{- end -}}
