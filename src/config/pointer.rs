//! JSON pointers (RFC 6901).

use std::fmt;

/// A parsed pointer. Empty: the whole document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer {
    text: Box<str>,
    tokens: Vec<Box<str>>,
}

impl Pointer {
    /// `text` begins with `/` or is empty; `~0` stands for `~` and `~1` for `/`.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(PointerError::NoSlash);
        }
        let tokens = text
            .split('/')
            .skip(1)
            .map(unescape)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.into(),
            tokens,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Object keys or array indices, unescaped.
    pub fn tokens(&self) -> &[Box<str>] {
        &self.tokens
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    #[error("a JSON pointer begins with `/`")]
    NoSlash,
    #[error("in a JSON pointer `~` is followed by `0` or `1`")]
    BadEscape,
}

fn unescape(token: &str) -> Result<Box<str>, PointerError> {
    let mut out = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '~' => match chars.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(PointerError::BadEscape),
            },
            c => c,
        });
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_once() {
        let pointer = Pointer::parse("/a~1b/~01/").unwrap();
        assert_eq!(
            pointer.tokens(),
            ["a/b".into(), "~1".into(), Box::<str>::from("")]
        );
        assert_eq!(Pointer::parse("").unwrap().tokens().len(), 0);
        assert_eq!(Pointer::parse("a"), Err(PointerError::NoSlash));
        assert_eq!(Pointer::parse("/~2"), Err(PointerError::BadEscape));
    }
}
