//! A route for a provider that no configuration names.

use super::capture::Capture;

/// What the route is called.
pub(super) const ROUTE: &str = "capture";

/// A configuration whose one route takes what `provider` sends. `Err` is a fault of usage, in words.
pub(super) fn configuration(
    provider: &str,
    secret_variables: &[String],
    params: &[String],
    public_url: Option<&url::Url>,
    capture: &Capture,
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
    route.insert("secrets".into(), toml::Value::Array(secrets.collect()));
    if capture.method != "POST" {
        let methods = vec![capture.method.as_str().into()];
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
    if let Some(url) = called(public_url, capture) {
        route.insert("public_url".into(), url.into());
    }
    let routes: toml::Table = [(ROUTE.to_owned(), toml::Value::Table(route))]
        .into_iter()
        .collect();
    let root: toml::Table = [("routes".to_owned(), toml::Value::Table(routes))]
        .into_iter()
        .collect();
    Ok(root.to_string())
}

/// The address that was called, without its query string.
fn called(public_url: Option<&url::Url>, capture: &Capture) -> Option<String> {
    let whole = public_url.or(capture.url.as_ref()).cloned();
    let told = || {
        let host = capture.header("host").next()?;
        let host = std::str::from_utf8(host).ok()?;
        url::Url::parse(&format!("https://{host}{}", capture.path)).ok()
    };
    let mut url = whole.or_else(told)?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url.to_string())
}
