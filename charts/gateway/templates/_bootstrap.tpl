{{- /*
How the Envoy starts, as JSON: it reads YAML 1.1, where `y` is a boolean. The parts that every Envoy
of this mesh shares equal what crates/bootstrap makes; a test compares them. What only the pod
knows comes in through --service-node and --config-yaml, where Kubernetes puts in $(NAME).
*/}}

{{- define "gateway.discoveryAddress" -}}
{{- .Values.proxy.discoveryAddress | default (printf "%s.%s.svc:15012" (include "gateway.controlPlane" .) .Values.global.istioNamespace) }}
{{- end }}

{{- /* The name that the control plane's certificate must have. */}}
{{- define "gateway.discoveryHost" -}}
{{- regexReplaceAll ":[0-9]+$" (include "gateway.discoveryAddress" .) "" }}
{{- end }}

{{- /* Metadata that is the same in every pod; ISTIO_META_NAME of `env` is NAME. */}}
{{- define "gateway.metadata" -}}
{{- $metadata := dict
  "CLUSTER_ID" (.Values.global.multiCluster.clusterName | default "Kubernetes")
  "ISTIO_VERSION" (index .Chart.Annotations "meltemi.io/version")
  "ISTIO_REVISION" (include "gateway.revision" .)
  "LABELS" (include "gateway.podLabels" . | fromYaml)
  "MELTEMI_CERTIFICATES" "NONE"
  "NAMESPACE" .Release.Namespace
  "OWNER" (printf "kubernetes://apis/apps/v1/namespaces/%s/%ss/%s" .Release.Namespace (lower .Values.kind) (include "gateway.name" .))
  "SERVICE_ACCOUNT" (include "gateway.serviceAccount" .)
  "WORKLOAD_NAME" (include "gateway.name" .) }}
{{- with .Values.global.meshID }}{{ $_ := set $metadata "MESH_ID" . }}{{ end }}
{{- with .Values.networkGateway | default .Values.global.network }}{{ $_ := set $metadata "NETWORK" . }}{{ end }}
{{- with .Values.networkGateway }}{{ $_ := set $metadata "REQUESTED_NETWORK_VIEW" . }}{{ end }}
{{- range $name, $value := .Values.env }}
{{- if hasPrefix "ISTIO_META_" $name }}
{{- $_ := set $metadata (trimPrefix "ISTIO_META_" $name) (toString $value) }}
{{- end }}
{{- end }}
{{- toJson $metadata }}
{{- end }}

{{- define "gateway.bootstrap" -}}
{
  "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
  "bootstrap_extensions": [
    {
      "name": "envoy.bootstrap.internal_listener",
      "typed_config": {"@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"}
    }
  ],
  "dynamic_resources": {
    "ads_config": {
      "api_type": "DELTA_GRPC",
      "transport_api_version": "V3",
      "set_node_on_first_message_only": true,
      "grpc_services": [
        {
          "google_grpc": {
            "target_uri": {{ include "gateway.discoveryAddress" . | toJson }},
            "stat_prefix": "xds-grpc",
            "channel_credentials": {
              "ssl_credentials": {"root_certs": {"filename": "/var/run/secrets/istio/root-cert.pem"}}
            },
            "call_credentials": [
              {
                "from_plugin": {
                  "name": "envoy.grpc_credentials.file_based_metadata",
                  "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.grpc_credential.v3.FileBasedMetadataConfig",
                    "secret_data": {"filename": "/var/run/secrets/tokens/istio-token"},
                    "header_key": "authorization",
                    "header_prefix": "Bearer "
                  }
                }
              }
            ],
            "credentials_factory_name": "envoy.grpc_credentials.file_based_metadata",
            "channel_args": {
              "args": {
                "grpc.default_authority": {"string_value": {{ include "gateway.discoveryHost" . | toJson }}},
                "grpc.initial_reconnect_backoff_ms": {"int_value": 500},
                "grpc.keepalive_time_ms": {"int_value": 30000},
                "grpc.keepalive_timeout_ms": {"int_value": 10000},
                "grpc.max_receive_message_length": {"int_value": -1},
                "grpc.max_reconnect_backoff_ms": {"int_value": 10000},
                "grpc.ssl_target_name_override": {"string_value": {{ include "gateway.discoveryHost" . | toJson }}}
              }
            }
          }
        }
      ]
    },
    "cds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
    "lds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
  },
  "layered_runtime": {
    "layers": [
      {
        "name": "global config",
        "static_layer": {
          "envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update": false,
          "envoy.reloadable_features.http_reject_path_with_fragment": false,
          "envoy.reloadable_features.fixed_heap_use_allocated": true,
          "re2.max_program_size.error_level": "32768"
        }
      },
      {"name": "admin", "admin_layer": {}}
    ]
  },
  "node": {"metadata": {{ include "gateway.metadata" . }}},
  "static_resources": {
    "clusters": [
      {
        "name": "prometheus_stats",
        "alt_stat_name": "prometheus_stats;",
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "load_assignment": {
          "cluster_name": "prometheus_stats",
          "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}}}]}
          ]
        }
      }
    ],
    "listeners": [
      {{ include "gateway.page" (dict "name" "prometheus" "port" 15090 "path" "/stats/prometheus" "rewrite" "/stats/prometheus") | indent 6 | trim }},
      {{ include "gateway.page" (dict "name" "ready" "port" 15021 "path" "/healthz/ready" "rewrite" "/ready") | indent 6 | trim }}
    ]
  },
  "stats_config": {
    "use_all_default_tags": false,
    "stats_tags": [
      {"tag_name": "cluster_name", "regex": "^cluster\\.((.+?);\\.)"},
      {"tag_name": "tcp_prefix", "regex": "^tcp\\.((.*?);\\.)\\w+?$"},
      {"tag_name": "http_conn_manager_prefix", "regex": "^http\\.((.+?);\\.)"},
      {"tag_name": "listener_address", "regex": "^listener\\.((.+?);\\.)"},
      {"tag_name": "response_code", "regex": "_rq(_(\\d{3}))$"},
      {"tag_name": "response_code_class", "regex": "_rq(_(\\dxx))$"}
    ],
    "stats_matcher": {
      "inclusion_list": {
        "patterns": [
          {"prefix": "reporter="},
          {"prefix": "cluster_manager"},
          {"prefix": "listener_manager"},
          {"prefix": "server"},
          {"prefix": "cluster.xds-grpc"},
          {"prefix": "wasm"},
          {"prefix": "component"},
          {"prefix": "istio"},
          {"suffix": "rbac.allowed"},
          {"suffix": "rbac.denied"},
          {"suffix": "shadow_allowed"},
          {"suffix": "shadow_denied"},
          {"safe_regex": {"regex": "vhost\\..*\\.route\\..*"}}
        ]
      }
    }
  }
}
{{- end }}

{{- /* A listener with one page of the admin interface, which itself is on loopback. */}}
{{- define "gateway.page" -}}
{
  "name": {{ toJson .name }},
  "address": {"socket_address": {"address": "0.0.0.0", "port_value": {{ .port }}}},
  "bypass_overload_manager": true,
  "ignore_global_conn_limit": true,
  "filter_chains": [
    {
      "filters": [
        {
          "name": "envoy.filters.network.http_connection_manager",
          "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": {{ printf "%s;" .name | toJson }},
            "normalize_path": true,
            "merge_slashes": true,
            "route_config": {
              "virtual_hosts": [
                {
                  "name": {{ toJson .name }},
                  "domains": ["*"],
                  "routes": [
                    {
                      "match": {"path": {{ toJson .path }}, "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
                      "route": {"cluster": "prometheus_stats", "prefix_rewrite": {{ toJson .rewrite }}}
                    }
                  ]
                }
              ]
            },
            "http_filters": [
              {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
              }
            ]
          }
        }
      ]
    }
  ]
}
{{- end }}
