//! What goes over the pipes between the gateway and a worker: lengths, then bytes. The worker is the same program, so
//! that there is one version of it.

use std::io::{self, Read};

use super::{Answer, OUTPUT_BYTES_MAX, Question, SOURCE_BYTES_MAX};

/// Question (1 byte), length of the expression, length of the document (4 bytes each, little-endian).
const REQUEST_HEAD_BYTES: usize = 9;
/// Kind (1 byte), length of what follows (4 bytes).
pub(super) const REPLY_HEAD_BYTES: usize = 5;
/// Of an error's text.
pub(super) const TEXT_CHARS_MAX: usize = 300;

/// An expression to be evaluated on a document.
pub(super) struct Request {
    pub(super) question: Question,
    pub(super) expression: String,
    pub(super) document: Vec<u8>,
}

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Answered(Answer),
    /// The expression failed on this document; the text holds nothing of that.
    Failed(String),
    /// It took [`super::CPU_MAX`]. The worker is gone.
    Spent,
}

/// The head of a request; expression and document follow. `None`: too long for a frame.
pub(super) fn request_head(
    question: Question,
    expression: &str,
    document: &[u8],
) -> Option<[u8; REQUEST_HEAD_BYTES]> {
    let mut head = [0; REQUEST_HEAD_BYTES];
    head[0] = u8::from(question == Question::Transform);
    head[1..5].copy_from_slice(&u32::try_from(expression.len()).ok()?.to_le_bytes());
    head[5..9].copy_from_slice(&u32::try_from(document.len()).ok()?.to_le_bytes());
    Some(head)
}

/// `None`: the gateway has closed the pipe, or is gone.
pub(super) fn read_request(pipe: &mut impl Read) -> io::Result<Option<Request>> {
    let mut head = [0; REQUEST_HEAD_BYTES];
    if let Err(error) = pipe.read_exact(&mut head) {
        let ended = error.kind() == io::ErrorKind::UnexpectedEof;
        return if ended { Ok(None) } else { Err(error) };
    }
    let [question, a, b, c, d, e, f, g, h] = head;
    let (expression, document) = (u32::from_le_bytes([a, b, c, d]), [e, f, g, h]);
    if expression as usize > SOURCE_BYTES_MAX {
        return Err(invalid("an expression too long"));
    }
    let mut read = |length: u32| {
        let mut bytes = vec![0; length as usize];
        pipe.read_exact(&mut bytes).map(|()| bytes)
    };
    let expression = read(expression)?;
    let document = read(u32::from_le_bytes(document))?;
    Ok(Some(Request {
        question: match question {
            0 => Question::When,
            _ => Question::Transform,
        },
        expression: String::from_utf8(expression).map_err(|_| invalid("not UTF-8"))?,
        document,
    }))
}

impl Reply {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, rest) = match self {
            Self::Answered(Answer::No) => (0, &[][..]),
            Self::Answered(Answer::Yes) => (1, &[][..]),
            Self::Answered(Answer::Document(document)) => (2, &document[..]),
            Self::Failed(text) => (3, text.as_bytes()),
            Self::Spent => (4, &[][..]),
        };
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let mut frame = Vec::with_capacity(REPLY_HEAD_BYTES + rest.len());
        frame.push(kind);
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(rest);
        frame
    }

    /// How many bytes follow the head of a reply. They are bounded, whatever the worker says.
    pub(super) fn length(head: [u8; REPLY_HEAD_BYTES]) -> io::Result<usize> {
        let [_, a, b, c, d] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        match length <= OUTPUT_BYTES_MAX {
            true => Ok(length),
            false => Err(invalid("a reply too long")),
        }
    }

    pub(super) fn decode(head: [u8; REPLY_HEAD_BYTES], rest: Vec<u8>) -> io::Result<Self> {
        Ok(match (head[0], rest.is_empty()) {
            (0, true) => Self::Answered(Answer::No),
            (1, true) => Self::Answered(Answer::Yes),
            (2, false) => Self::Answered(Answer::Document(rest)),
            (3, _) => {
                let text = String::from_utf8_lossy(&rest);
                Self::Failed(text.chars().take(TEXT_CHARS_MAX).collect())
            }
            (4, true) => Self::Spent,
            _ => return Err(invalid("no reply")),
        })
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        for (question, expression, document) in [
            (Question::When, ".a", &b"{}"[..]),
            (Question::Transform, "", b""),
        ] {
            let mut frame = request_head(question, expression, document)
                .unwrap()
                .to_vec();
            frame.extend_from_slice(expression.as_bytes());
            frame.extend_from_slice(document);
            let read = read_request(&mut &frame[..]).unwrap().unwrap();
            assert_eq!(read.question, question);
            assert_eq!(
                (&*read.expression, &read.document[..]),
                (expression, document)
            );
            for cut in 1..frame.len() {
                let read = read_request(&mut &frame[..cut]);
                assert!(!matches!(read, Ok(Some(_))), "cut at {cut}");
            }
        }
        assert!(matches!(read_request(&mut &b""[..]), Ok(None)));
    }

    #[test]
    fn a_reply_arrives_as_it_was_sent_and_is_bounded() {
        for reply in [
            Reply::Answered(Answer::Yes),
            Reply::Answered(Answer::No),
            Reply::Answered(Answer::Document(b"{}".to_vec())),
            Reply::Failed("why".to_owned()),
            Reply::Spent,
        ] {
            let frame = reply.encode();
            let (head, rest) = frame.split_first_chunk().unwrap();
            assert_eq!(Reply::length(*head).unwrap(), rest.len());
            assert_eq!(Reply::decode(*head, rest.to_vec()).unwrap(), reply);
        }
        assert!(Reply::length([2, 255, 255, 255, 255]).is_err());
        for head in [[2, 0, 0, 0, 0], [9, 0, 0, 0, 0]] {
            assert!(Reply::decode(head, Vec::new()).is_err());
        }
    }
}
