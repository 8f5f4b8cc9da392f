//! `/api/v1/openapi.json`: the API's description, made from the code that answers.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, http::header};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, AllOfBuilder, Content, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema,
        path::Operation,
        schema::AnyOfBuilder,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{
    config, events,
    guard::MayRead,
    health,
    parameters::Parameters,
    problem::{self, Problem},
    replays::{self, FILTER},
    requests, routes, secrets, targets,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hookgate admin API",
        description = "What a gateway has received, where it goes, and what an operator can do about it. Lists come in pages: `next` is the `cursor` of the next one, `null` on the last."
    ),
    paths(
        config::get,
        config::reload,
        document,
        events::get,
        events::list,
        events::replay,
        health::healthz,
        health::metrics,
        health::readyz,
        replays::cancel,
        replays::create,
        replays::get,
        replays::list,
        requests::get,
        requests::rejection,
        requests::rejections,
        routes::list,
        secrets::forget,
        secrets::get,
        secrets::list,
        targets::list,
        targets::pause,
        targets::resume,
    ),
    components(schemas(problem::Body)),
    modifiers(&Common),
    security(("token" = [])),
    tags(
        (name = "events", description = "What was accepted, and what became of it"),
        (name = "requests", description = "What became of a request"),
        (name = "configuration", description = "Routes, targets and the file that says them"),
        (name = "replays", description = "Deliveries that are made again, many at a time"),
        (name = "secrets", description = "Those that providers gave in their handshakes"),
        (name = "targets", description = "Where events go, and how that stands"),
        (name = "health", description = "For load balancers and Prometheus"),
    )
)]
struct Document;

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| Document::openapi().to_json().unwrap_or_default());

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "configuration", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)))]
pub(super) async fn document(_: MayRead, request: HttpRequest) -> Result<HttpResponse, Problem> {
    Parameters::none(&request)?;
    Ok(HttpResponse::Ok()
        .content_type(header::ContentType::json())
        .body(DOCUMENT.as_str()))
}

/// What every operation of the API may answer.
struct Common;

/// Status, component, description.
const READING: [(&str, &str, &str); 4] = [
    (
        "400",
        "BadRequest",
        "A parameter is unknown or malformed; the detail names it.",
    ),
    ("401", "Unauthorized", "No admin token, or another."),
    (
        "403",
        "Forbidden",
        "The token's role does not suffice, or the request is a web page's.",
    ),
    ("503", "Unavailable", "The store does not answer."),
];
const CHANGING: [(&str, &str, &str); 2] = [
    ("413", "TooLarge", "The body is larger than 64 KiB."),
    (
        "415",
        "UnsupportedMediaType",
        "The body is not `application/json`.",
    ),
];

impl Modify for Common {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        for (_, name, description) in READING.into_iter().chain(CHANGING) {
            components
                .responses
                .insert(name.into(), refusal(description).into());
        }
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", scheme);
        if let Some(schema) = components.schemas.get_mut("NewReplay") {
            ask_for_a_filter(schema);
        }
        for (path, item) in &mut document.paths.paths {
            // Health is text.
            if !path.starts_with("/api/") {
                continue;
            }
            item.get.iter_mut().for_each(|get| add(get, &READING));
            for changing in item.post.iter_mut().chain(&mut item.delete) {
                add(changing, &READING);
                add(changing, &CHANGING);
            }
            for operation in [&mut item.get, &mut item.post, &mut item.delete] {
                operation.iter_mut().for_each(tell_problems);
            }
        }
    }
}

fn add(operation: &mut Operation, common: &[(&str, &str, &str)]) {
    for (status, name, _) in common {
        let response = RefOr::Ref(Ref::from_response_name(*name));
        let known = &mut operation.responses.responses;
        known.entry((*status).to_owned()).or_insert(response);
    }
}

/// One part of the filter at least: more than a derived schema can say.
fn ask_for_a_filter(schema: &mut RefOr<Schema>) {
    let parts = FILTER.map(|name| ObjectBuilder::new().required(name));
    let any = parts
        .into_iter()
        .fold(AnyOfBuilder::new(), AnyOfBuilder::item);
    let whole = AllOfBuilder::new().item(schema.clone()).item(any);
    *schema = RefOr::T(whole.into());
}

/// What else an operation refuses has the same shape.
fn tell_problems(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
        {
            *response = refusal(&response.description);
        }
    }
}

fn refusal(description: &str) -> Response {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .description(description)
        .content(problem::CONTENT_TYPE, problem)
        .build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use actix_web::http::Method;
    use serde_json::Value;

    use super::*;
    use crate::admin::endpoints;

    fn document() -> Value {
        serde_json::from_str(&DOCUMENT).unwrap_or_default()
    }

    #[test]
    fn what_is_mounted_is_documented_and_nothing_else() {
        let endpoints = endpoints().into_iter();
        let mounted: BTreeSet<_> = endpoints
            .flat_map(|endpoint| {
                let methods = endpoint.methods.into_iter();
                methods.map(move |(method, _)| (endpoint.path.to_owned(), method.to_string()))
            })
            .collect();
        assert!(mounted.contains(&("/api/v1/events".to_owned(), Method::GET.to_string())));
        let document = document();
        let paths = document["paths"].as_object().into_iter().flatten();
        let documented: BTreeSet<_> = paths
            .flat_map(|(path, item)| {
                let methods = item.as_object().into_iter().flatten();
                methods.map(move |(method, _)| (path.clone(), method.to_uppercase()))
            })
            .collect();
        assert_eq!(mounted, documented);
    }

    #[test]
    fn a_new_replay_is_documented_as_it_is_read() {
        let schema = &document()["components"]["schemas"]["NewReplay"]["allOf"][0];
        let properties = schema["properties"].as_object().into_iter().flatten();
        let documented: BTreeSet<_> = properties.map(|(name, _)| name.clone()).collect();
        let read = FILTER.into_iter().chain(["rate"]).map(str::to_owned);
        assert_eq!(documented, read.collect());
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema.get("required"), None);
    }
}
