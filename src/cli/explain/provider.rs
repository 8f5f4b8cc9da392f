//! A route for a provider that no configuration names.

use super::capture::Capture;
use crate::config::{Config, Fault};

/// What the route is called.
pub(in crate::cli) const ROUTE: &str = "capture";

/// A configuration whose one route takes what `provider` sends by POST to `public_url`. `Err` is a fault of usage, in
/// words.
pub(in crate::cli) fn configuration(
    provider: &str,
    secret_variables: &[String],
    params: &[String],
    public_url: Option<&url::Url>,
) -> Result<String, String> {
    configuration_for(provider, secret_variables, params, "POST", public_url)
}

pub(super) fn configuration_for(
    provider: &str,
    secret_variables: &[String],
    params: &[String],
    method: &str,
    public_url: Option<&url::Url>,
) -> Result<String, String> {
    let mut route = toml::Table::new();
    route.insert("path".into(), "/capture".into());
    route.insert("provider".into(), provider.into());
    route.insert("deliver".into(), toml::Value::Array(Vec::new()));
    let secrets = secret_variables.iter().map(|name| {
        let secret: toml::Table = [("env".to_owned(), toml::Value::from(name.as_str()))]
            .into_iter()
            .collect();
        toml::Value::Table(secret)
    });
    if !secret_variables.is_empty() {
        route.insert("secrets".into(), toml::Value::Array(secrets.collect()));
    }
    if method != "POST" {
        let methods = vec![method.into()];
        route.insert("methods".into(), toml::Value::Array(methods));
    }
    if !params.is_empty() {
        let mut table = toml::Table::new();
        for param in params {
            let (name, value) = param
                .split_once('=')
                .ok_or("a --param looks like 'webhook_id=8PT597110X687430LKGECATA'")?;
            table.insert(name.into(), value.into());
        }
        route.insert("params".into(), table.into());
    }
    if let Some(url) = public_url {
        let mut url = url.clone();
        url.set_query(None);
        url.set_fragment(None);
        route.insert("public_url".into(), url.to_string().into());
    }
    let routes: toml::Table = [(ROUTE.to_owned(), toml::Value::Table(route))]
        .into_iter()
        .collect();
    let root: toml::Table = [("routes".to_owned(), toml::Value::Table(routes))]
        .into_iter()
        .collect();
    Ok(root.to_string())
}

/// Reads what [`configuration`] wrote. Its faults are told by the arguments that they come of; `address`: the one that
/// gives the provider's address.
pub(in crate::cli) fn load(text: &str, address: &str) -> Result<Config, String> {
    Config::of_text(text, "--provider").map_err(|faults| {
        let told = faults.as_slice().iter();
        let told: Vec<_> = told.map(|fault| by_argument(fault, address)).collect();
        told.join("\n")
    })
}

fn by_argument(fault: &Fault, address: &str) -> String {
    let prefix = format!("routes.{ROUTE}.");
    let key = fault.key.strip_prefix(&prefix).unwrap_or(&fault.key);
    let argument = match key.split(['.', '[']).next().unwrap_or_default() {
        "params" => key.replacen("params", "--param", 1).replacen('.', " ", 1),
        "secrets" => "--secret-env".to_owned(),
        "public_url" => address.to_owned(),
        _ => "--provider".to_owned(),
    };
    let told = Fault {
        file: argument,
        line: 0,
        column: 0,
        key: String::new(),
        ..fault.clone()
    };
    match key {
        "verify" => format!("{told}; a route tells that: --route NAME"),
        _ => told.to_string(),
    }
}

/// The address that was called.
pub(super) fn called(capture: &Capture) -> Option<url::Url> {
    let told = || {
        let host = capture.header("host").next()?;
        let host = std::str::from_utf8(host).ok()?;
        url::Url::parse(&format!("https://{host}{}", capture.path)).ok()
    };
    capture.url.clone().or_else(told)
}
