{{- /* What an injector will add to a pod (platform.md 1.8), by hand. */}}

{{- define "capture" -}}
- name: istio-init
  image: {{ .Values.images }}/tools:{{ .Values.tag }}
  imagePullPolicy: IfNotPresent
  command:
  - sh
  - -ec
  - |
    iptables -t nat -A OUTPUT -m owner --uid-owner 1337 -j RETURN
    iptables -t nat -A OUTPUT -d 127.0.0.0/8 -j RETURN
    iptables -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 15001
    for port in 15020 15021 15090; do
      iptables -t nat -A PREROUTING -p tcp --dport "$port" -j RETURN
    done
    iptables -t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 15006
  securityContext: {capabilities: {add: [NET_ADMIN, NET_RAW], drop: [ALL]}}
{{- end }}

{{- define "proxy" -}}
- name: istio-proxy
  image: {{ .Values.images }}/proxy:{{ .Values.tag }}
  imagePullPolicy: IfNotPresent
  args: [proxy, sidecar, --domain, $(POD_NAMESPACE).svc.cluster.local, --proxyLogLevel=warning]
  ports: [{name: http-envoy-prom, containerPort: 15090}]
  env:
  - {name: PILOT_CERT_PROVIDER, value: istiod}
  - {name: CA_ADDR, value: {{ .Values.discovery | quote }}}
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  - name: INSTANCE_IP
    valueFrom: {fieldRef: {fieldPath: status.podIP}}
  - name: SERVICE_ACCOUNT
    valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}
  - name: HOST_IP
    valueFrom: {fieldRef: {fieldPath: status.hostIP}}
  - {name: PROXY_CONFIG, value: '{"concurrency":1}'}
  - {name: ISTIO_META_CLUSTER_ID, value: Kubernetes}
  - {name: ISTIO_META_INTERCEPTION_MODE, value: REDIRECT}
  - {name: ISTIO_META_MESH_ID, value: cluster.local}
  - {name: TRUST_DOMAIN, value: cluster.local}
  {{- range $name, $value := .Values.env }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
  securityContext:
    runAsUser: 1337
    runAsGroup: 1337
    runAsNonRoot: true
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities: {drop: [ALL]}
  startupProbe: {httpGet: {path: /healthz/ready, port: 15021}, periodSeconds: 1, failureThreshold: 60}
  readinessProbe: {httpGet: {path: /healthz/ready, port: 15021}, periodSeconds: 2}
  volumeMounts:
  - {name: workload-socket, mountPath: /var/run/secrets/workload-spiffe-uds}
  - {name: credential-socket, mountPath: /var/run/secrets/credential-uds}
  - {name: workload-certs, mountPath: /var/run/secrets/workload-spiffe-credentials}
  - {name: istiod-ca-cert, mountPath: /var/run/secrets/istio}
  - {name: istio-data, mountPath: /var/lib/istio/data}
  - {name: istio-envoy, mountPath: /etc/istio/proxy}
  - {name: istio-token, mountPath: /var/run/secrets/tokens}
  - {name: istio-podinfo, mountPath: /etc/istio/pod}
{{- end }}

{{- define "volumes" -}}
- {name: workload-socket, emptyDir: {}}
- {name: credential-socket, emptyDir: {}}
- {name: workload-certs, emptyDir: {}}
- {name: istio-data, emptyDir: {}}
- {name: istio-envoy, emptyDir: {medium: Memory}}
- name: istiod-ca-cert
  configMap: {name: istio-ca-root-cert}
- name: istio-token
  projected:
    sources:
    - serviceAccountToken: {audience: istio-ca, expirationSeconds: 43200, path: istio-token}
- name: istio-podinfo
  downwardAPI:
    items:
    - {path: labels, fieldRef: {fieldPath: metadata.labels}}
    - {path: annotations, fieldRef: {fieldPath: metadata.annotations}}
{{- end }}
