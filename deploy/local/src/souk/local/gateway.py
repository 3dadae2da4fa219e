"""The gateway: Envoy's configuration, made from the table of resources.

Envoy checks tokens first (the services check them again), maps resources to services, gives every
request an id, and bounds sizes, rates and time. Every refusal of its own is an RFC 9457 problem.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from souk.contracts.reasons import PROBLEMS, Reason
from souk.contracts.topic import Service

RESOURCES: Mapping[Service, tuple[str, ...]] = {
    "campaign": ("organisations", "users", "campaigns"),
    "influencer": ("influencers", "selections", "participations", "referral-codes", "eligibility", "offers"),
    "tracking": ("accounts", "posts", "links", "conversions", "shops", "clicks"),
    "billing": ("budgets", "earnings", "postings", "payments", "payment-runs"),
    "notify": ("notifications", "deliveries"),
}
"""First path segment below `/v1/`, by the service that owns it."""

BODY_LIMIT = 1 << 20
_TYPE = "type.googleapis.com/envoy.extensions.filters.http"

Address = tuple[str, int]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Where the gateway listens, what is behind it, and whose tokens it takes.

    jwks: a path of a JWKS file, or the URL of one.
    rate, burst: requests per second and their burst, of the gateway as a whole.
    """

    listen: Address
    admin: Address
    services: Mapping[Service, Address]
    redirect: Address
    issuer: str
    jwks: str
    audience: str = "souk"
    rate: int = 2_000
    burst: int = 4_000
    trusted_hops: int = 0


def configuration(up: Upstreams) -> Json:
    """Envoy's bootstrap configuration (v3 API), as JSON data."""
    clusters = [_cluster(name, address) for name, address in up.services.items()]
    clusters.append(_cluster("redirect", up.redirect))
    if _is_url(up.jwks):
        clusters.append(_jwks_cluster(up.jwks))
    return {
        "admin": {"address": _address(up.admin)},
        "layered_runtime": {
            "layers": [{"name": "limits", "static_layer": {"re2.max_program_size.error_level": 1_000}}]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.resource_monitors."
                        "downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 10_000,
                    },
                }
            ]
        },
        "static_resources": {"listeners": [_listener(up)], "clusters": clusters},
    }


def _listener(up: Upstreams) -> Json:
    return {
        "name": "gateway",
        "address": _address(up.listen),
        # A second Envoy on this port is refused; sharing it would give each half of the requests.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": BODY_LIMIT,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.network."
                            "http_connection_manager.v3.HttpConnectionManager",
                            "stat_prefix": "gateway",
                            "use_remote_address": True,
                            "xff_num_trusted_hops": up.trusted_hops,
                            "generate_request_id": True,
                            "preserve_external_request_id": False,
                            "always_set_request_id_in_response": True,
                            "normalize_path": True,
                            "merge_slashes": True,
                            "path_with_escaped_slashes_action": "REJECT_REQUEST",
                            "common_http_protocol_options": {
                                "idle_timeout": "60s",
                                "headers_with_underscores_action": "REJECT_REQUEST",
                            },
                            "request_headers_timeout": "10s",
                            "request_timeout": "30s",
                            "stream_idle_timeout": "60s",
                            "max_request_headers_kb": 32,
                            "server_header_transformation": "PASS_THROUGH",
                            "local_reply_config": _local_replies(),
                            "http_filters": _filters(up),
                            "route_config": {
                                "name": "resources",
                                "virtual_hosts": [
                                    {"name": "souk", "domains": ["*"], "routes": list(_routes())},
                                ],
                                "request_headers_to_remove": ["x-envoy-expected-rq-timeout-ms"],
                            },
                        },
                    }
                ]
            }
        ],
    }


def _filters(up: Upstreams) -> list[Json]:
    provider: Json = {
        "issuer": up.issuer,
        "audiences": [up.audience],
        "require_expiration": True,
        "forward": True,
        "clock_skew_seconds": 10,
    }
    if _is_url(up.jwks):
        provider["remote_jwks"] = {
            "http_uri": {"uri": up.jwks, "cluster": "jwks", "timeout": "5s"},
            "cache_duration": "300s",
        }
    else:
        provider["local_jwks"] = {"filename": up.jwks}
    return [
        {
            "name": "envoy.filters.http.local_ratelimit",
            "typed_config": {
                "@type": f"{_TYPE}.local_ratelimit.v3.LocalRateLimit",
                "stat_prefix": "gateway",
                "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
                "token_bucket": {
                    "max_tokens": up.burst,
                    "tokens_per_fill": max(1, up.rate // 10),
                    "fill_interval": "0.1s",
                },
                "filter_enabled": {"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
                "filter_enforced": {"default_value": {"numerator": 100, "denominator": "HUNDRED"}},
                "response_headers_to_add": [{"header": {"key": "retry-after", "value": "1"}}],
            },
        },
        {
            "name": "envoy.filters.http.jwt_authn",
            "typed_config": {
                "@type": f"{_TYPE}.jwt_authn.v3.JwtAuthentication",
                "providers": {"oidc": provider},
                "rules": [{"match": {"prefix": "/v1/"}, "requires": {"provider_name": "oidc"}}],
            },
        },
        {
            "name": "envoy.filters.http.buffer",
            "typed_config": {"@type": f"{_TYPE}.buffer.v3.Buffer", "max_request_bytes": BODY_LIMIT},
        },
        {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.router.v3.Router"}},
    ]


def _routes() -> Iterable[Json]:
    unbuffered = {
        "envoy.filters.http.buffer": {"@type": f"{_TYPE}.buffer.v3.BufferPerRoute", "disabled": True}
    }
    yield _route({"prefix": "/r/"}, "redirect", timeout="5s", typed_per_filter_config=unbuffered)
    yield _route({"prefix": "/hooks/"}, "tracking")
    yield _route({"prefix": "/unsubscribe/"}, "notify")
    for service, resources in RESOURCES.items():
        for resource in resources:
            yield _route({"path_separated_prefix": f"/v1/{resource}"}, service)
        yield _route({"path": f"/openapi/{service}.json"}, service, rewrite="/openapi.json")


def _route(
    match: Json, cluster: str, *, timeout: str = "30s", rewrite: str | None = None, **more: Any
) -> Json:
    action: Json = {
        "cluster": cluster,
        "timeout": timeout,
        # Only where nothing was sent yet, so that no retry can double an effect.
        "retry_policy": {"retry_on": "connect-failure", "num_retries": 2},
    }
    if rewrite:
        action["prefix_rewrite"] = rewrite
    return {"match": match, "route": action, **more}


def _local_replies() -> Json:
    by_status = {
        400: Reason.INVALID,
        401: Reason.UNAUTHENTICATED,
        403: Reason.UNAUTHENTICATED,
        404: Reason.NOT_FOUND,
        413: Reason.TOO_LARGE,
        431: Reason.TOO_LARGE,
        429: Reason.RATE_LIMITED,
        503: Reason.UNAVAILABLE,
        504: Reason.UNAVAILABLE,
    }
    return {
        "mappers": [
            {
                "filter": {
                    "status_code_filter": {
                        "comparison": {
                            "op": "EQ",
                            "value": {"default_value": status, "runtime_key": f"local_reply.{status}"},
                        }
                    }
                },
                "body_format_override": _problem(reason),
                **({"status_code": 401} if status == 403 else {}),
            }
            for status, reason in by_status.items()
        ],
        "body_format": _problem(Reason.UNAVAILABLE),
    }


def _problem(reason: Reason) -> Json:
    return {
        "json_format": {
            "type": f"urn:souk:problem:{reason}",
            "title": PROBLEMS[reason].title,
            "status": "%RESPONSE_CODE%",
            "detail": "%LOCAL_REPLY_BODY%",
            "instance": "%REQ(X-REQUEST-ID)%",
            "reason": str(reason),
        },
        "content_type": "application/problem+json",
    }


def _cluster(name: str, address: Address) -> Json:
    return {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": "2s",
        "load_assignment": _assignment(name, address),
        "circuit_breakers": {
            "thresholds": [{"max_connections": 1_024, "max_pending_requests": 1_024, "max_requests": 2_048}]
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "upstream_connection_options": {"tcp_keepalive": {}},
    }


def _jwks_cluster(url: str) -> Json:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    cluster = _cluster("jwks", (host, port))
    if parts.scheme == "https":
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": host,
                "common_tls_context": {
                    "validation_context": {"trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"}}
                },
            },
        }
    return cluster


def _assignment(name: str, address: Address) -> Json:
    return {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(address)}}]}],
    }


def _address(address: Address) -> Json:
    return {"socket_address": {"address": address[0], "port_value": address[1]}}


def _is_url(jwks: str) -> bool:
    return jwks.startswith(("http://", "https://"))


def _for_compose(issuer: str) -> Json:
    """`deploy/gateway/envoy.json`: the same gateway, with the names and ports of docker-compose.yml."""
    return configuration(
        Upstreams(
            listen=("0.0.0.0", 8080),  # noqa: S104 - a container's own network
            admin=("127.0.0.1", 9901),
            services={service: (service, 8000) for service in RESOURCES},
            redirect=("redirect", 8000),
            issuer=issuer,
            jwks="/etc/souk/jwks.json",
        )
    )


if __name__ == "__main__":
    import json
    import sys

    print(json.dumps(_for_compose(sys.argv[1] if len(sys.argv) > 1 else "urn:souk:issuer"), indent=1))
