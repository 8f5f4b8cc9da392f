//! The address guard, in the client that is really used.

use std::time::Duration;

use hookgate::event::Outcome;

use super::rig::{Rig, error, target};
use crate::support::receiver::Receiver;

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_refused_until_it_is_allowed() {
    let receiver = Receiver::start().await;
    let spelled = |host: &str| receiver.url().replace("127.0.0.1", host);
    for url in [
        receiver.url(),
        receiver.named_url(),
        spelled("2130706433"),
        spelled("0x7f.1"),
        spelled("[::ffff:127.0.0.1]"),
    ] {
        let mut crm = target("crm", &url);
        crm.allow_private = false;
        let settled = Rig::start([crm]).first_settlement().await;
        assert_eq!(settled.outcome, Outcome::Retry(Duration::from_millis(4)));
        let text = error(&settled);
        let expected = "/8 (loopback); to allow it set `allow_private = true` under [targets.crm]";
        assert!(text.starts_with("connect: "), "{url}: {text}");
        assert!(text.contains(expected), "{url}: {text}");
        assert!(text.contains("127.0.0.1 is in 127.0.0.0"), "{url}: {text}");
    }
    assert_eq!(receiver.connections(), 0);

    for url in [receiver.url(), receiver.named_url()] {
        let settled = Rig::start([target("crm", &url)]).first_settlement().await;
        assert_eq!(settled.outcome, Outcome::Delivered, "{url}");
    }
}
