{{- /* Who is called how, and labelled with what. */}}

{{- define "gateway.name" -}}
{{- .Values.name | default .Release.Name }}
{{- end }}

{{- /* Whether the control plane's injector makes the proxy: `true` or nothing. */}}
{{- define "gateway.injected" -}}
{{- if eq .Values.image "auto" }}true{{ end }}
{{- end }}

{{- define "gateway.revision" -}}
{{- default "default" .Values.revision }}
{{- end }}

{{- /* The name of the control plane's Service and ServiceAccount. */}}
{{- define "gateway.controlPlane" -}}
istiod{{ if ne (include "gateway.revision" .) "default" }}-{{ .Values.revision }}{{ end }}
{{- end }}

{{- define "gateway.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "gateway.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- /* What Gateways select, as a value of `labels` or derived from the name. */}}
{{- define "gateway.app" -}}
{{- get .Values.labels "app" | default (include "gateway.name" .) }}
{{- end }}

{{- define "gateway.istio" -}}
{{- get .Values.labels "istio" | default (include "gateway.name" . | trimPrefix "istio-") }}
{{- end }}

{{- define "gateway.selector" -}}
app: {{ include "gateway.app" . | quote }}
istio: {{ include "gateway.istio" . | quote }}
{{- end }}

{{- /* Labels of the pods: what the control plane knows the proxy by. */}}
{{- define "gateway.podLabels" -}}
{{- $labels := dict
  "app" (include "gateway.app" .)
  "istio" (include "gateway.istio" .)
  "istio.io/dataplane-mode" "none"
  "istio.io/rev" (include "gateway.revision" .)
  "service.istio.io/canonical-name" (include "gateway.name" .)
  "service.istio.io/canonical-revision" "latest"
  "sidecar.istio.io/inject" (include "gateway.injected" . | eq "true" | ternary "true" "false") }}
{{- with .Values.networkGateway | default .Values.global.network }}
{{- $_ := set $labels "topology.istio.io/network" . }}
{{- end }}
{{- mergeOverwrite $labels (deepCopy .Values.labels) (deepCopy .Values.podLabels) | toYaml }}
{{- end }}

{{- define "gateway.labels" -}}
{{- $labels := dict
  "app" (include "gateway.app" .)
  "app.kubernetes.io/instance" (include "gateway.name" .)
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/name" (include "gateway.name" .)
  "app.kubernetes.io/part-of" "meltemi"
  "app.kubernetes.io/version" .Chart.AppVersion
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
  "istio" (include "gateway.istio" .)
  "istio.io/dataplane-mode" "none" }}
{{- with .Values.networkGateway }}
{{- $_ := set $labels "topology.istio.io/network" . }}
{{- end }}
{{- mergeOverwrite $labels (deepCopy .Values.labels) | toYaml }}
{{- end }}

{{- /* What the injector is told of a proxy that it makes; JSON, empty when there is nothing. */}}
{{- define "gateway.proxyConfig" -}}
{{- $config := dict }}
{{- with .Values.proxy.discoveryAddress }}{{ $_ := set $config "discoveryAddress" . }}{{ end }}
{{- with int .Values.proxy.concurrency }}{{ $_ := set $config "concurrency" . }}{{ end }}
{{- if $config }}{{ toJson $config }}{{ end }}
{{- end }}

{{- /* Annotations of the pods: of the injector or of the bootstrap, of metrics, then the user's. */}}
{{- define "gateway.podAnnotations" -}}
{{- $all := dict "prometheus.io/path" "/stats/prometheus" "prometheus.io/scrape" "true" }}
{{- if include "gateway.injected" . }}
{{- $_ := set $all "prometheus.io/port" "15020" }}
{{- $_ := set $all "inject.istio.io/templates" "gateway" }}
{{- with include "gateway.proxyConfig" . }}{{ $_ := set $all "proxy.istio.io/config" . }}{{ end }}
{{- if ne .Values.logging.level "warning" }}{{ $_ := set $all "sidecar.istio.io/logLevel" .Values.logging.level }}{{ end }}
{{- else }}
{{- $_ := set $all "prometheus.io/port" "15090" }}
{{- /* An Envoy reads its bootstrap once. */}}
{{- $_ := set $all "meltemi.io/bootstrap" (include "gateway.bootstrap" . | sha256sum | trunc 16) }}
{{- end }}
{{- mergeOverwrite $all (deepCopy .Values.podAnnotations) | toYaml }}
{{- end }}
