//! Paths and methods as data, so that what is mounted can be compared with what is documented.

use actix_web::{
    FromRequest, Handler, Resource, Responder, Route,
    http::Method,
    web::{self, ServiceConfig},
};

use super::problem::Problem;

/// A path, with what answers each of its methods.
pub(super) struct Endpoint {
    pub(super) path: &'static str,
    pub(super) methods: Vec<(Method, Route)>,
}

pub(super) fn at<const N: usize>(path: &'static str, methods: [(Method, Route); N]) -> Endpoint {
    Endpoint {
        path,
        methods: methods.into(),
    }
}

pub(super) fn get<F, A>(handler: F) -> (Method, Route)
where
    F: Handler<A>,
    A: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (Method::GET, web::get().to(handler))
}

pub(super) fn post<F, A>(handler: F) -> (Method, Route)
where
    F: Handler<A>,
    A: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (Method::POST, web::post().to(handler))
}

pub(super) fn delete<F, A>(handler: F) -> (Method, Route)
where
    F: Handler<A>,
    A: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    (Method::DELETE, web::delete().to(handler))
}

/// Other methods are told which there are, other paths that there is nothing.
pub(super) fn mount(app: &mut ServiceConfig, endpoints: Vec<Endpoint>) {
    for endpoint in endpoints {
        app.service(resource(endpoint));
    }
    app.default_service(web::to(async || -> Result<String, Problem> {
        Err(Problem::unknown_path())
    }));
}

fn resource(endpoint: Endpoint) -> Resource {
    let allow: Vec<_> = endpoint.methods.iter().map(|(m, _)| m.clone()).collect();
    let other = web::to(move || {
        let problem = Problem::not_allowed(allow.clone());
        async { Err::<String, _>(problem) }
    });
    let routes = endpoint.methods.into_iter().map(|(_, route)| route);
    routes
        .fold(web::resource(endpoint.path), Resource::route)
        .default_service(other)
}
