//! What a body is: JSON, a form, XML, or anything. Pure.

/// A kind of body that a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// `application/json` and `application/*+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/xml`, `text/xml` and `application/*+xml`.
    Xml,
    /// Whatever comes: nothing is read from it.
    Any,
}
