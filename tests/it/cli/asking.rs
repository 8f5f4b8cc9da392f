//! Running commands that ask a gateway of this process.

use std::net::SocketAddr;

use serde_json::Value;

use super::program::hookgate_where;
use crate::support::gateway::{Gateway, temporary};

/// What a command said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    /// Standard output of a command that must have done its work.
    #[track_caller]
    pub(super) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Standard error of one that must have failed, with nothing on standard output.
    #[track_caller]
    pub(super) fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        self.err
    }
}

/// `hookgate ARGUMENTS --admin …`, with words between blanks.
pub(super) async fn ask(gateway: &Gateway, arguments: &str) -> Said {
    ask_at(gateway.app().admin_addr(), "", arguments).await
}

pub(super) async fn ask_at(admin: SocketAddr, token: &str, arguments: &str) -> Said {
    let all = format!("{arguments} --admin http://{admin}");
    let token = token.to_owned();
    // The gateway runs in this process: it must go on meanwhile.
    let run = move || {
        let arguments: Vec<_> = all.split_whitespace().collect();
        let environment = [("HOOKGATE_ADMIN_TOKEN", token.as_str())];
        let environment = match token.as_str() {
            "" => &[][..],
            _ => &environment,
        };
        hookgate_where(environment, temporary().path(), &arguments)
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// One JSON object a line.
#[track_caller]
pub(super) fn lines(out: &str) -> Vec<Value> {
    let lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}
