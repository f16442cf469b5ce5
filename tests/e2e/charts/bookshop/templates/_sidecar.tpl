{{- /* What an injector will add to a pod, by hand. */}}

{{- /* All TCP goes through the proxy, except its own, that within the pod, and that to its pages. */}}
{{- define "capture" -}}
- name: capture
  image: {{ .Values.images }}/tools:{{ .Values.tag }}
  imagePullPolicy: IfNotPresent
  command:
  - sh
  - -ec
  - |
    iptables -t nat -A OUTPUT -m owner --uid-owner 1337 -j RETURN
    iptables -t nat -A OUTPUT -d 127.0.0.0/8 -j RETURN
    iptables -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 15001
    iptables -t nat -A PREROUTING -p tcp --dport 15000 -j RETURN
    iptables -t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 15006
  securityContext: {capabilities: {add: [NET_ADMIN, NET_RAW], drop: [ALL]}}
{{- end }}

{{- define "proxy" -}}
- name: istio-proxy
  image: {{ .root.Values.images }}/envoy:{{ .root.Values.tag }}
  imagePullPolicy: IfNotPresent
  command: [envoy]
  args:
  - --config-path
  - /etc/envoy/bootstrap.yaml
  - --config-yaml
  - '{"node":{"metadata":{"LABELS":{"app":"{{ .app }}","version":"{{ .version }}"},"NAME":"$(POD_NAME)"}}}'
  - --service-node
  - sidecar~$(INSTANCE_IP)~$(POD_NAME).$(POD_NAMESPACE)~$(POD_NAMESPACE).svc.cluster.local
  - --service-cluster
  - {{ .app }}.$(POD_NAMESPACE)
  - --disable-hot-restart
  - --concurrency
  - "1"
  - --log-level
  - warning
  env:
  - name: INSTANCE_IP
    valueFrom: {fieldRef: {fieldPath: status.podIP}}
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  securityContext: {runAsUser: 1337, runAsGroup: 1337}
  # Ready: it has its clusters and listeners.
  readinessProbe: {httpGet: {path: /ready, port: 15000}, periodSeconds: 1}
  volumeMounts:
  - {name: bootstrap, mountPath: /etc/envoy, readOnly: true}
  - {name: istio-token, mountPath: /var/run/secrets/tokens, readOnly: true}
  - {name: istiod-ca-cert, mountPath: /var/run/secrets/istio, readOnly: true}
{{- end }}

{{- define "volumes" -}}
- name: bootstrap
  configMap: {name: bootstrap}
- name: istio-token
  projected:
    sources:
    - serviceAccountToken: {audience: istio-ca, expirationSeconds: 43200, path: istio-token}
- name: istiod-ca-cert
  configMap: {name: istio-ca-root-cert}
{{- end }}
