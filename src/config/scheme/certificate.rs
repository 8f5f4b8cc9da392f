//! `certificate`: where a request's own certificate may be fetched.

use std::borrow::Cow;

use super::read_part;
use crate::{
    config::reader::Node,
    signature::{KeySource, REGION},
};

pub(super) fn read_certificate(node: Node<'_>) -> Option<KeySource> {
    const HOSTS_SHAPE: &str = "a list of host names such as [\"*.example.com\"]";
    let mut table =
        node.table("a table such as { url = \"{header:X-Cert-Url}\", hosts = [ … ] }")?;
    let url = table.require("url", "where the request names the certificate's address");
    let hosts = table.require("hosts", HOSTS_SHAPE);
    let path_ends = table.take("path_ends");
    table.finish();
    let url = url.and_then(|node| read_part(&node, "{header:X-Cert-Url}"));
    let hosts = hosts.and_then(|node| {
        let place = node.place.clone();
        let hosts = node.list(HOSTS_SHAPE)?;
        if hosts.is_empty() {
            place.fault("an empty list", HOSTS_SHAPE);
        }
        let hosts = hosts.iter().map(|node| node.parse(HOST_SHAPE, host));
        hosts.collect::<Option<Vec<_>>>()
    });
    let path_ends = path_ends.map_or(Some(String::new()), |node| {
        Some(
            node.string("what the path ends with, e.g. \".pem\"")?
                .to_owned(),
        )
    });
    Some(KeySource::Certificate {
        url: url?,
        hosts: hosts?.into(),
        path_ends: path_ends?.into(),
    })
}

const HOST_SHAPE: &str = "a host name; `*` stands for one label, at the beginning for one or more, `{region}` for a region of Amazon's, not for the last two";
const ANY_LABEL: &str = "*";

/// A pattern must end in two labels of its own: else anybody's host would fit.
fn host(text: &str) -> Option<Cow<'static, str>> {
    let inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(inner);
    let mut labels = text.rsplit('.');
    let own = labels.next().is_some_and(is_label) && labels.next().is_some_and(is_label);
    let rest = labels.all(|label| [ANY_LABEL, REGION].contains(&label) || is_label(label));
    (own && rest).then(|| text.to_owned().into())
}
