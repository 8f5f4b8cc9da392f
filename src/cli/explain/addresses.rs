//! The addresses that a provider may have called and signed, where the configured one is not it.

use url::Url;

use super::capture::Capture;

const VARIANTS_MAX: usize = 256;

/// Other addresses than `configured`, the likeliest first.
pub(super) fn variants(configured: &str, capture: &Capture) -> Vec<String> {
    let mut found = Vec::new();
    for base in bases(configured, capture) {
        for scheme in ["https", "http"] {
            for slash in [false, true] {
                for port in [
                    None,
                    Some(443),
                    Some(80),
                    Some(8443),
                    Some(8080),
                    Some(8000),
                ] {
                    for with_query in [true, false] {
                        let query = capture.query.as_deref().filter(|_| with_query);
                        let Some(url) = variant(&base, scheme, port, slash, query) else {
                            continue;
                        };
                        if url != configured && !found.contains(&url) && found.len() < VARIANTS_MAX
                        {
                            found.push(url);
                        }
                    }
                }
            }
        }
    }
    found
}

/// The configured address, the capture's own, and the one that its `Host` tells.
fn bases(configured: &str, capture: &Capture) -> Vec<Url> {
    let host = capture
        .header("x-forwarded-host")
        .chain(capture.header("host"))
        .find_map(|host| std::str::from_utf8(host).ok());
    let told = host.and_then(|host| Url::parse(&format!("https://{host}{}", capture.path)).ok());
    let configured = Url::parse(configured).ok();
    // Behind a proxy the path may be another one here than there.
    let moved = configured.clone().map(|mut url| {
        url.set_path(&capture.path);
        url
    });
    let all = [configured, moved, capture.url.clone(), told];
    all.into_iter().flatten().collect()
}

/// Written out by hand: a port that goes with the scheme is signed, too, by those who write it.
fn variant(
    base: &Url,
    scheme: &str,
    port: Option<u16>,
    other_slash: bool,
    query: Option<&str>,
) -> Option<String> {
    let host = base.host_str()?;
    let path = match (base.path(), other_slash) {
        (path, false) => path.to_owned(),
        ("/", true) => String::new(),
        (path, true) => match path.strip_suffix('/') {
            Some(path) => path.to_owned(),
            None => format!("{path}/"),
        },
    };
    // The configured port first, then none, then those of the list.
    let port = match (port, base.port()) {
        (None, Some(own)) => format!(":{own}"),
        (None, None) => String::new(),
        (Some(443), Some(_)) => String::new(),
        (Some(port), _) => format!(":{port}"),
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{scheme}://{host}{port}{path}{query}"))
}

/// Without the query string, which may hold secrets.
pub(super) fn shown(url: &str) -> String {
    let mut parts = url.splitn(2, '?');
    let address = parts.next().unwrap_or_default().to_owned();
    match parts.next() {
        Some(_) => format!("{address} and the query string"),
        None => address,
    }
}
