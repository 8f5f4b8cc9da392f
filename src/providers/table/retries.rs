//! How long providers go on sending an event that was not taken, as their documents tell it.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// From the first attempt to the last. Of a schedule: the sum of its waits.
const RETRIED_FOR: [(&str, Duration); 26] = [
    ("asana", DAY),
    ("calendly", DAY),
    // After 1, 5 and 10 minutes.
    ("cidaas", MINUTE.saturating_mul(16)),
    // Svix and those that send by it: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
    ("clerk", HOUR.saturating_mul(76)),
    ("hubspot", DAY),
    ("instagram", HOUR.saturating_mul(36)),
    ("mailgun", HOUR.saturating_mul(8)),
    ("meta", HOUR.saturating_mul(36)),
    ("microsoft-graph", HOUR.saturating_mul(4)),
    ("monday", MINUTE.saturating_mul(30)),
    ("notion", DAY),
    ("openai", HOUR.saturating_mul(76)),
    ("paddle", DAY.saturating_mul(3)),
    ("paypal", DAY.saturating_mul(3)),
    ("plaid", DAY),
    ("razorpay", DAY),
    ("resend", HOUR.saturating_mul(76)),
    ("sendgrid", DAY),
    ("shopify", HOUR.saturating_mul(4)),
    ("slack", MINUTE.saturating_mul(6)),
    ("square", DAY),
    ("standard-webhooks", HOUR.saturating_mul(76)),
    ("stripe", DAY.saturating_mul(3)),
    ("svix", HOUR.saturating_mul(76)),
    ("vercel", DAY),
    ("whatsapp", HOUR.saturating_mul(36)),
];

pub(super) fn of(name: &str) -> Option<Duration> {
    let known = RETRIED_FOR.iter().find(|(known, _)| *known == name);
    known.map(|(_, retried_for)| *retried_for)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::preset;

    #[test]
    fn every_row_is_a_provider_s() {
        for (name, retried_for) in RETRIED_FOR {
            assert_eq!(
                preset(name).and_then(|preset| preset.retried_for),
                Some(retried_for)
            );
        }
    }
}
