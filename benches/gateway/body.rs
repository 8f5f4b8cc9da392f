//! Bodies as providers send them: an order with its customer, its lines and a note, filled up to the size.

/// `start` is an object's beginning, up to and with a comma.
pub(crate) fn order(start: &str, bytes: usize) -> String {
    const LINE: &str = r#"{"id":"li_8f3KQ2","sku":"A-1042-B","name":"Walking boots, brown","quantity":1,"unit_amount":12900,"tax":{"rate":0.19,"inclusive":true},"discount":null}"#;
    let mut body = format!(
        "{start}{}",
        r#""type":"order.created","created":1763712000,"api_version":"2026-10-01","livemode":true,"data":{"object":{"id":"ord_5Yw1nTz","status":"paid","currency":"eur","amount_total":25800,"customer":{"id":"cus_81hG","name":"Ada Example","email":"ada@example.com","phone":null,"locale":"de-CH"},"shipping":{"carrier":"post","address":{"line1":"Hauptstrasse 1","city":"Bern","postal_code":"3000","country":"CH"}},"metadata":{"campaign":"autumn","basket":"b-77120"},"lines":["#
    );
    body.push_str(LINE);
    let end = r#"],"note":""}}}"#;
    while body.len() + 1 + LINE.len() + end.len() <= bytes {
        body.push(',');
        body.push_str(LINE);
    }
    body.push_str(r#"],"note":""#);
    let rest = bytes.saturating_sub(body.len() + 4);
    body.extend(
        "Please leave the parcel at the neighbour's. "
            .chars()
            .cycle()
            .take(rest),
    );
    body.push_str(r#""}}}"#);
    body
}
