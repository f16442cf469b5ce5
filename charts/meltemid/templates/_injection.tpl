{{- /* The webhooks that a revision, or a tag of it, has for pods: who is asked about which. */}}

{{- /* The injector's ConfigMap. */}}
{{- define "meltemid.injector" -}}
istio-sidecar-injector{{ include "meltemid.suffix" . }}
{{- end }}

{{- /* "-NAMESPACE" where it is not the usual one. */}}
{{- define "meltemid.elsewhere" -}}
{{- if ne .Release.Namespace "istio-system" }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{- /* What the injector reads of the values, as it is called in them. */}}
{{- define "meltemid.injectorValues" -}}
{{- $v := .Values }}
{{- $global := deepCopy $v.global }}
{{- $_ := set $global "tag" ($v.global.tag | default $v.tag | default .Chart.AppVersion | toString) }}
{{- $_ := set $global "istioNamespace" .Release.Namespace }}
{{- $hook := omit $v.sidecarInjectorWebhook "alwaysInjectSelector" "neverInjectSelector" "injectedAnnotations" "templates" "defaultTemplates" "aliases" }}
{{- $revision := eq (include "meltemid.revision" .) "default" | ternary "" $v.revision }}
{{- dict
  "gateways" $v.gateways
  "global" $global
  "pilot" (dict "cni" $v.cni "env" $v.env)
  "revision" $revision
  "sidecarInjectorWebhook" $hook | toPrettyJson }}
{{- end }}

{{- define "meltemid.injectorConfig" -}}
{{- $hook := .Values.sidecarInjectorWebhook }}
{{- dict
  "aliases" $hook.aliases
  "alwaysInjectSelector" $hook.alwaysInjectSelector
  "defaultTemplates" $hook.defaultTemplates
  "injectedAnnotations" $hook.injectedAnnotations
  "neverInjectSelector" $hook.neverInjectSelector
  "policy" .Values.global.proxy.autoInject
  "templates" $hook.templates | toYaml }}
{{- end }}

{{- /* One webhook: `root`, its `name`, `namespace` and `object` selectors as lists of expressions. */}}
{{- define "meltemid.webhook" -}}
{{- $v := .root.Values -}}
- name: {{ .name }}.sidecar-injector.istio.io
  admissionReviewVersions: [v1]
  clientConfig:
    {{- if $v.istiodRemote.injectionURL }}
    url: {{ $v.istiodRemote.injectionURL | quote }}
    {{- else }}
    service:
      name: {{ include "meltemid.name" .root }}
      namespace: {{ .root.Release.Namespace }}
      path: {{ $v.istiodRemote.injectionPath | quote }}
      port: 443
    {{- end }}
    {{- with $v.istiodRemote.injectionCABundle }}
    caBundle: {{ . | quote }}
    {{- end }}
  failurePolicy: Fail
  reinvocationPolicy: {{ $v.sidecarInjectorWebhook.reinvocationPolicy }}
  sideEffects: None
  rules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE]
    resources: [pods]
  namespaceSelector:
    matchExpressions:
    {{- range .namespace }}
    - {{ . | toJson }}
    {{- end }}
  objectSelector:
    matchExpressions:
    {{- range .object }}
    - {{ . | toJson }}
    {{- end }}
{{- end }}

{{- /* All webhooks of a name: `root`, and `of`, a revision or tag. `default` has more of them. */}}
{{- define "meltemid.webhooks" -}}
{{- $root := .root }}
{{- $inject := "sidecar.istio.io/inject" }}
{{- $mine := dict "key" "istio.io/rev" "operator" "In" "values" (list .of) }}
{{- $noRevision := dict "key" "istio.io/rev" "operator" "DoesNotExist" }}
{{- $noWord := dict "key" "istio-injection" "operator" "DoesNotExist" }}
{{- $unlessRefused := dict "key" $inject "operator" "NotIn" "values" (list "false") }}
{{- include "meltemid.webhook" (dict "root" $root "name" "rev.namespace"
  "namespace" (list $mine $noWord)
  "object" (list $unlessRefused)) }}
{{ include "meltemid.webhook" (dict "root" $root "name" "rev.object"
  "namespace" (list $noRevision $noWord)
  "object" (list $unlessRefused $mine)) }}
{{- if eq .of "default" }}
{{ include "meltemid.webhook" (dict "root" $root "name" "namespace"
  "namespace" (list (dict "key" "istio-injection" "operator" "In" "values" (list "enabled")))
  "object" (list $unlessRefused)) }}
{{ include "meltemid.webhook" (dict "root" $root "name" "object"
  "namespace" (list $noWord $noRevision)
  "object" (list (dict "key" $inject "operator" "In" "values" (list "true")) $noRevision)) }}
{{- if $root.Values.sidecarInjectorWebhook.enableNamespacesByDefault }}
{{ include "meltemid.webhook" (dict "root" $root "name" "auto"
  "namespace" (list $noWord $noRevision (dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" (list "kube-system" "kube-public" "kube-node-lease" "local-path-storage")))
  "object" (list (dict "key" $inject "operator" "DoesNotExist") $noRevision)) }}
{{- end }}
{{- end }}
{{- end }}
