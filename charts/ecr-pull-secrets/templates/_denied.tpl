{{/* CEL: which images `config.registries` denies tokens for, so that the policy skips the same pods as the webhook. */}}

{{/*
The rules of `config.registries` up to the last one with `access: deny`, as JSON: the index, whether it denies, a CEL expression on the
namespace, and a regular expression for the start of its images (empty: all images).
*/}}
{{- define "ecr-pull-secrets.rulesUpToDenied" -}}
{{- $rules := list -}}
{{- $count := 0 -}}
{{- range $index, $rule := (.Values.config).registries -}}
{{- $denies := eq ($rule.access | default "allow") "deny" -}}
{{- $setting := printf "config.registries[%d].namespaces.selector" $index -}}
{{- $namespaces := $rule.namespaces | default dict -}}
{{- $terms := list -}}
{{- if hasKey $namespaces "names" -}}
{{- $terms = append $terms (include "ecr-pull-secrets.celNames" (dict "names" $namespaces.names)) -}}
{{- end -}}
{{- range include "ecr-pull-secrets.selectorRequirements" (dict "selector" $namespaces.selector "setting" $setting) | fromJsonArray -}}
{{- $terms = append $terms (include "ecr-pull-secrets.celRequirement" .) -}}
{{- end -}}
{{- $images := include "ecr-pull-secrets.ruleImages" (dict "rule" $rule "config" $.Values.config) -}}
{{- $rules = append $rules (dict "index" $index "denies" $denies "namespace" (join " && " $terms | default "true") "images" $images) -}}
{{- if $denies -}}{{- $count = len $rules -}}{{- end -}}
{{- end -}}
{{- slice $rules 0 $count | toJson -}}
{{- end -}}

{{/* A regular expression for the start of the images that a rule is for; empty: all images. */}}
{{- define "ecr-pull-secrets.ruleImages" -}}
{{- $rule := .rule -}}
{{- /* The public registry belongs to no account, so no rule is for it that selects accounts or inserts one. */ -}}
{{- $needsAccount := contains "{account}" (pick $rule "roleArn" "sessionName" "sessionPolicy" "sessionTags" | toJson) -}}
{{- $isForPublic := not (or (hasKey $rule "accounts") $needsAccount) -}}
{{- if or (hasKey $rule "accounts") (hasKey $rule "regions") (and (.config).publicRegistry (not $isForPublic)) -}}
{{- $account := "[0-9]{12}" -}}
{{- if hasKey $rule "accounts" -}}{{- $account = join "|" $rule.accounts | replace "*" "[0-9]*" -}}{{- end -}}
{{- $region := "[a-z0-9-]+" -}}
{{- if hasKey $rule "regions" -}}
{{- $regions := list -}}
{{- range $rule.regions -}}{{- $regions = append $regions (regexQuoteMeta . | replace "\\*" "[a-z0-9-]*") -}}{{- end -}}
{{- $region = join "|" $regions -}}
{{- end -}}
{{- $starts := list (printf "(%s)[.]dkr[.-]ecr(-fips)?[.](%s)[.]" $account $region) -}}
{{- range $host, $registry := (.config).hosts -}}
{{- if and (regexMatch (printf "^(%s)$" $account) $registry.account) (regexMatch (printf "^(%s)$" $region) $registry.region) -}}
{{- $starts = append $starts (printf "%s/" (regexQuoteMeta $host)) -}}
{{- end -}}
{{- end -}}
{{- /* The tokens of the public registry come from us-east-1. */ -}}
{{- if and (.config).publicRegistry $isForPublic (regexMatch (printf "^(%s)$" $region) "us-east-1") -}}
{{- $starts = append $starts "(public[.]ecr[.]aws|ecr-public[.]aws[.]com)[:/]" -}}
{{- end -}}
^({{ join "|" $starts }})
{{- end -}}
{{- end -}}

{{/*
The definitions of variables for "ecr-pull-secrets.celDenied": whether each of these rules is for the namespace. Nothing if no rule
denies.
*/}}
{{- define "ecr-pull-secrets.deniedVariables" -}}
{{- with include "ecr-pull-secrets.rulesUpToDenied" . | fromJsonArray -}}
- name: labels
  expression: namespaceObject.metadata.?labels.orValue({})
{{- range . }}
- name: rule{{ .index }}
  expression: >-
    {{ .namespace }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
Whether the first rule that is for the namespace and the image denies. Nothing if no rule denies. `image` is an expression. The rules
are elements of a list, because the parser limits the depth of expressions.
*/}}
{{- define "ecr-pull-secrets.celDenied" -}}
{{- $terms := list -}}
{{- $denying := list -}}
{{- range include "ecr-pull-secrets.rulesUpToDenied" .root | fromJsonArray -}}
{{- $term := printf "variables.rule%d" (int .index) -}}
{{- if .images -}}{{- $term = printf "%s && %s.matches(%s)" $term $.image (toJson .images) -}}{{- end -}}
{{- $terms = append $terms $term -}}
{{- if .denies -}}{{- $denying = append $denying (int .index) -}}{{- end -}}
{{- end -}}
{{- if $denying -}}
([{{ join ", " $terms }}].indexOf(true) in {{ $denying | toJson }})
{{- end -}}
{{- end -}}
