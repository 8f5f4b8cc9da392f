//! The HTTP layer's own answers, told from ours by what they lack.

use crate::ingest::rejection::Reason;

/// The HTTP layer's bare answers are shorter than this.
const BARE_BYTES_MAX: usize = 256;

/// The HTTP layer answers what it cannot parse with a bare status, and then writes no more. Our own responses
/// all carry a request id, so one that does not is the layer's. Returns where it begins: after a pipelined
/// request, our response to that stands before it.
pub(super) fn bare_refusal(written: &[u8]) -> Option<(usize, Reason)> {
    if !written.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = written.len().saturating_sub(BARE_BYTES_MAX);
    let tail = &written[from..];
    let at = tail.windows(9).rposition(|part| part == b"HTTP/1.1 ")?;
    let (status, rest) = tail[at + 9..].split_first_chunk::<3>()?;
    let reason = match status {
        b"400" | b"431" | b"414" => Reason::MalformedRequest,
        b"408" => Reason::SlowRequest,
        _ => return None,
    };
    let ours = rest
        .windows(b"x-request-id".len())
        .any(|part| part.eq_ignore_ascii_case(b"x-request-id"));
    (!ours).then_some((from + at, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_answer_is_found_behind_our_own_and_ours_never_taken_for_one() {
        let bare = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: Sat, 21 Nov 2026 04:13:20 GMT\r\n\r\n";
        let found = |written: &[u8]| bare_refusal(written).map(|(at, _)| at);
        assert_eq!(found(bare), Some(0));
        let ours = [
            &b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\ncontent-length: 2\r\n\r\n{}"[..],
            b"HTTP/1.1 400 Bad Request\r\nX-Request-Id: 1\r\ncontent-length: 9\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
        ];
        for ours in ours {
            assert_eq!(found(ours), None, "{ours:?}");
            assert_eq!(found(&[ours, bare].concat()), Some(ours.len()), "{ours:?}");
        }
        let many = ours[0].repeat(1000);
        assert_eq!(found(&[&many, &bare[..]].concat()), Some(many.len()));
    }
}
