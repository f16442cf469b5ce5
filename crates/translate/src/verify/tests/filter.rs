//! Traps inside of filters, logs and TLS contexts of listeners.

use super::*;

fn rsa() -> Value {
    json!({ "kty": "RSA", "e": "AQAB", "n": "xAE7eB6qugXyCAG3yhh7pkDkT65pHymX-P7KfIupjf59vsdo91bSP9C8\
        H07pSAGQO1MV_xFj9VswgsCg4R6otmg5PV2He95lZdHtOcU5DXIg_pbhLdKXbi66GlVeK6ABZOUW3WYtnNHD-91gVuoe\
        JT_DwtGGcp4ignkgXfkiEm4sw-4sfb4qdt5oLbyVpmW6x9cfa7vs2WTfURiCrBoUqgBo_-4WTiULmmHSGZHOjzwa8Wtr\
        tOQGsAFjIbno85jp6MnGGGZPYZbDAa_b3y5u-YpW7ypZrvD8BgtKVjgtQgZhLAGezMt0ua3DRrWnKqTZ0BJ_EyxOGuHJ\
        rLsn00fnMQ" })
}

fn jwt(keys: &str, rules: Value) -> Told {
    let provider = json!({ "issuer": "i", "local_jwks": { "inline_string": keys } });
    let config = json!({ "providers": { "p": provider }, "rules": rules });
    with_http_filters(vec![filter("http.jwt_authn.v3.JwtAuthentication", config)])
}

fn with_log(config: Value) -> Told {
    let log = extension(
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        config,
    );
    a_listener(json!({ "access_log": [log], "filter_chains": [{ "filters": [tcp_proxy()] }] }))
}

#[test]
fn inline_jwks_without_a_usable_key() {
    let keys = |keys: &[Value]| jwt(&json!({ "keys": keys }).to_string(), json!([]));
    jwt("x", json!([])).is_refused("inline_string must be a JSON Web Key Set: it is not JSON");
    jwt("{}", json!([])).is_refused("it has no list \"keys\"");
    for bad in [
        json!({ "kty": "foo" }),
        json!({ "kty": "RSA", "e": "AQAB" }),
        json!({ "kty": "RSA", "n": "***", "e": "AQAB" }),
        json!({ "kty": "oct", "k": "" }),
        json!({ "kty": "oct", "k": "AQAB", "alg": "RS256" }),
    ] {
        keys(&[bad]).is_refused("must have a usable key");
    }
    keys(&[]).is_refused("must have a usable key");
    keys(&[json!({ "kty": "foo" }), rsa()]).is_taken();
    keys(&[json!({ "kty": "oct", "k": "AQAB" })]).is_taken();
}

#[test]
fn jwt_rules_name_known_providers() {
    let keys = json!({ "keys": [rsa()] }).to_string();
    let rule = |requires: Value| {
        jwt(
            &keys,
            json!([{ "match": { "prefix": "/" }, "requires": requires }]),
        )
    };
    rule(json!({ "provider_name": "q" })).is_refused("must be one of the providers, not \"q\"");
    rule(json!({ "requires_any": { "requirements": [
        { "provider_name": "p" }, { "provider_name": "q" }] } }))
    .is_refused("requires_any.requirements[1].provider_name");
    rule(json!({ "provider_name": "p" })).is_taken();
}

#[test]
fn formats_of_access_logs() {
    let text = |text: &str| {
        with_log(json!({ "path": "/dev/null", "log_format": {
        "text_format_source": { "inline_string": text } } }))
    };
    text("%FOO%").is_refused("text_format_source.inline_string must be a valid format");
    text("100%\n").is_refused("lone percent sign");
    text("[%START_TIME%] %REQ(:METHOD)% %RESPONSE_FLAGS%\n").is_taken();
    let json_format = |value: Value| {
        with_log(json!({ "path": "/dev/null", "log_format": { "json_format": value } }))
    };
    json_format(json!({ "a": { "b": ["100%"] } })).is_refused("json_format[\"a\"][\"b\"][0] must");
    json_format(json!({ "100%": "%PROTOCOL%", "n": 1 })).is_taken();
    with_log(json!({ "path": "/dev/null", "log_format": {
        "text_format_source": { "inline_string": "%REQ_WITHOUT_QUERY(x)%" },
        "formatters": [extension(
            "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery", json!({}))] } }))
    .is_taken();
}

#[test]
fn formats_of_spans_and_metadata() {
    let traced = |tracing: Value| {
        let mut manager = manager(json!({}), Vec::new());
        manager["typed_config"]["tracing"] = tracing;
        with_filters(json!([manager]))
    };
    traced(json!({ "operation": "%FOO%" })).is_refused("tracing.operation must be a valid format");
    traced(json!({ "custom_tags": [{ "tag": "a", "value": "%FOO%" }] }))
        .is_refused("custom_tags[0].value must be a valid format");
    traced(json!({ "custom_tags": [{ "tag": "a", "literal": { "value": "%FOO%" } }] })).is_taken();
    let authorized = |key: &str, value: &str| {
        let config = json!({ "http_service": {
            "server_uri": { "uri": "a", "cluster": "c", "timeout": "1s" },
            "authorization_request": { "headers_to_add": [{ "key": key, "value": value }] } } });
        with_http_filters(vec![filter("http.ext_authz.v3.ExtAuthz", config)])
    };
    authorized("a", "%FOO%").is_refused("headers_to_add[0].value must be a valid format");
    authorized("host", "a").is_refused("headers_to_add[0].key must not be \"host\"");
    authorized("a", "%%").is_taken();
}

#[test]
fn the_router_is_the_last_http_filter() {
    let router = || filter("http.router.v3.Router", json!({}));
    let cors = || filter("http.cors.v3.Cors", json!({}));
    with_http_filters(vec![router()]).is_refused("http_filters[0] must be the last filter");
    with_http_filters(vec![cors(), cors()]).is_taken();
    let mut manager = manager(json!({}), Vec::new());
    manager["typed_config"]["http_filters"] = json!([cors()]);
    with_filters(json!([manager])).is_refused("http_filters[0] must be followed by the router");
}

#[test]
fn connection_managers_that_contradict_themselves() {
    let manager = |field: &str, value: Value| {
        let mut manager = manager(json!({}), Vec::new());
        manager["typed_config"][field] = value;
        manager["typed_config"]["use_remote_address"] = true.into();
        with_filters(json!([manager]))
    };
    let xff = extension(
        "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
        json!({}),
    );
    manager("original_ip_detection_extensions", json!([xff]))
        .is_refused("use_remote_address must not be true");
    let upgrades = |upgrades: [&str; 2]| {
        let upgrades = upgrades.map(|upgrade| json!({ "upgrade_type": upgrade }));
        manager("upgrade_configs", json!(upgrades))
    };
    upgrades(["websocket", "WebSocket"]).is_refused("upgrade_type must not be \"WebSocket\" again");
    upgrades(["websocket", "CONNECT"]).is_taken();
}

#[test]
fn tcp_proxies_with_weight_zero() {
    let weighted = |weight: u32| {
        let config = json!({ "stat_prefix": "s", "weighted_clusters": {
            "clusters": [{ "name": "a", "weight": weight }] } });
        with_filters(json!([filter("network.tcp_proxy.v3.TcpProxy", config)]))
    };
    weighted(0).is_refused("weighted_clusters.clusters[0].weight must be at least 1");
    weighted(1).is_taken();
}

#[test]
fn servers_without_a_certificate() {
    let context = |context: Value| {
        let socket = extension(
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            json!({ "common_tls_context": context }),
        );
        a_listener(json!({ "filter_chains": [{ "filters": [tcp_proxy()],
            "transport_socket": socket }] }))
    };
    context(json!({})).is_refused("common_tls_context must have a certificate");
    context(
        json!({ "tls_certificate_sds_secret_configs": [{ "name": "default",
        "sds_config": { "ads": {} } }] }),
    )
    .is_taken();
}
