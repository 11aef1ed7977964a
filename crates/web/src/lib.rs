//! HTTP: routes by resource, the hot buy route, OpenAPI, the bridge to push.
