//! The quick look at a body: most are well-formed, and then this finds what the walk would find, several times
//! faster. It never refuses anything: whatever it is not sure of, the walk reads again and judges.

use std::borrow::Cow;

use super::{DEPTH_MAX, Found, Plan, plan::NodeId};

/// What stands at each pointer, or `None`: let the walk decide.
pub(super) fn scan<'a>(plan: &Plan, text: &'a str) -> Option<Vec<Found<'a>>> {
    let mut scan = Scan {
        plan,
        text,
        bytes: text.as_bytes(),
        at: 0,
        found: vec![Found::Missing; plan.pointer_count()],
        visited: vec![false; plan.node_count()],
    };
    scan.value(Some(Plan::ROOT), 0)?;
    scan.skip_space();
    (scan.at == scan.bytes.len()).then_some(scan.found)
}

struct Scan<'a, 'p> {
    plan: &'p Plan,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    found: Vec<Found<'a>>,
    /// Which nodes of the plan the document has.
    visited: Vec<bool>,
}

/// Of a string: what stands between its quotes.
#[derive(Clone, Copy)]
struct Raw<'a> {
    text: &'a str,
    has_escapes: bool,
}

/// Longer integers may not fit, and shorter ones always do.
const INTEGER_DIGITS_MAX: usize = 18;
/// Without an exponent, a number of so many digits is in range.
const NUMBER_BYTES_MAX: usize = 300;

impl<'a> Scan<'a, '_> {
    /// `node`: where the plan is, if it leads here. `depth`: containers around the value.
    fn value(&mut self, node: Option<NodeId>, depth: usize) -> Option<()> {
        self.skip_space();
        match self.peek()? {
            b'"' => self.string_value(node),
            b'{' => self.object(node, depth),
            b'[' => self.array(node, depth),
            b't' => self.literal("true", node, Found::Bool(true)),
            b'f' => self.literal("false", node, Found::Bool(false)),
            b'n' => self.literal("null", node, Found::Null),
            _ => self.number(node),
        }
    }

    fn object(&mut self, node: Option<NodeId>, depth: usize) -> Option<()> {
        self.enter(node, depth, Found::Object)?;
        if self.closes(b'}') {
            return Some(());
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            let child = match node {
                // The key as it is meant is another than the one that stands there.
                Some(_) if key.has_escapes => return None,
                Some(node) => self.plan.key(node, key.text),
                None => None,
            };
            if let Some(child) = child
                && std::mem::replace(self.visited.get_mut(child.number())?, true)
            {
                return None;
            }
            self.skip_space();
            self.take(b':')?;
            self.value(child, depth + 1)?;
            if !self.goes_on(b'}')? {
                return Some(());
            }
        }
    }

    fn array(&mut self, node: Option<NodeId>, depth: usize) -> Option<()> {
        self.enter(node, depth, Found::Array)?;
        if self.closes(b']') {
            return Some(());
        }
        for index in 0.. {
            let child = node.and_then(|node| self.plan.index(node, index));
            self.value(child, depth + 1)?;
            if !self.goes_on(b']')? {
                break;
            }
        }
        Some(())
    }

    fn enter(&mut self, node: Option<NodeId>, depth: usize, found: Found<'a>) -> Option<()> {
        self.at += 1;
        self.record(node, found);
        (depth < DEPTH_MAX).then_some(())
    }

    /// Whether the container is empty.
    fn closes(&mut self, close: u8) -> bool {
        self.skip_space();
        self.take(close).is_some()
    }

    /// Whether a comma follows, and not the end of the container.
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        self.skip_space();
        let next = self.peek()?;
        self.at += 1;
        match next {
            b',' => Some(true),
            next => (next == close).then_some(false),
        }
    }

    fn literal(&mut self, word: &str, node: Option<NodeId>, found: Found<'a>) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        rest.starts_with(word.as_bytes()).then_some(())?;
        self.at += word.len();
        self.record(node, found);
        Some(())
    }

    fn string_value(&mut self, node: Option<NodeId>) -> Option<()> {
        let raw = self.string()?;
        if self.is_wanted(node) {
            // What has escapes the walk reads: it decodes them.
            (!raw.has_escapes).then_some(())?;
            self.record(node, Found::String(Cow::Borrowed(raw.text)));
        }
        Some(())
    }

    fn string(&mut self) -> Option<Raw<'a>> {
        self.take(b'"')?;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            self.skip_plain();
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    self.escape()?;
                }
                0..0x20 => return None,
                // Among the last seven bytes of the body.
                _ => self.at += 1,
            }
        }
        let text = self.text.get(start..self.at)?;
        self.at += 1;
        Some(Raw { text, has_escapes })
    }

    /// Passes what can neither end a string nor is an escape or a control character, eight bytes at a time.
    fn skip_plain(&mut self) {
        const ONES: u64 = u64::from_ne_bytes([1; 8]);
        const HIGH: u64 = ONES << 7;
        let has_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        while let Some(chunk) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            let control = word.wrapping_sub(ONES * 0x20) & !word;
            let quote = has_zero(word ^ (ONES * u64::from(b'"')));
            let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
            let stops = (control | quote | backslash) & HIGH;
            if stops != 0 {
                // The lowest is exact: only what stands above a true one can be wrong.
                self.at += stops.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
    }

    fn escape(&mut self) -> Option<()> {
        let kind = *self.bytes.get(self.at + 1)?;
        self.at += 2;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.hex4()? {
                0xd800..0xdc00 => {
                    let next = self.bytes.get(self.at..self.at + 2)?;
                    (next == b"\\u").then_some(())?;
                    self.at += 2;
                    (0xdc00..0xe000).contains(&self.hex4()?).then_some(())
                }
                0xdc00..0xe000 => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then_some(())?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self, node: Option<NodeId>) -> Option<()> {
        let start = self.at;
        let is_negative = self.take(b'-').is_some();
        let whole = self.at;
        let digits = self.digits()?;
        // No zero stands before other digits.
        (digits == 1 || self.bytes.get(whole) != Some(&b'0')).then_some(())?;
        let mut is_integer = true;
        if self.take(b'.').is_some() {
            is_integer = false;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            return None;
        }
        (self.at - start <= NUMBER_BYTES_MAX).then_some(())?;
        if self.is_wanted(node) {
            let is_plain = is_integer && !is_negative && digits <= INTEGER_DIGITS_MAX;
            is_plain.then_some(())?;
            let number: i64 = self.text.get(start..self.at)?.parse().ok()?;
            self.record(node, Found::Integer(number.into()));
        }
        Some(())
    }

    /// How many stand here: at least one.
    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(self.at - start)
    }

    fn is_wanted(&self, node: Option<NodeId>) -> bool {
        node.is_some_and(|node| !self.plan.slots(node).is_empty())
    }

    fn record(&mut self, node: Option<NodeId>, found: Found<'a>) {
        for &slot in node.map_or(&[][..], |node| self.plan.slots(node)) {
            if let Some(place) = self.found.get_mut(slot) {
                *place = found.clone();
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }
}
