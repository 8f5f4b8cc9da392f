//! Addresses that are called for what the call does: nothing is kept of the answer.

use tokio::time::timeout;
use url::Url;

use super::{FETCH_DEADLINE, FetchFault, FetchRequest, Keys};

impl Keys {
    /// A GET of an address that was checked. `Err`: no answer in time, or another than 2xx.
    pub async fn confirm(&self, url: Url) -> Result<(), FetchFault> {
        let request = FetchRequest {
            url,
            allow_private: false,
            json: None,
        };
        let answer = timeout(FETCH_DEADLINE, self.0.fetcher.fetch(&request)).await;
        let late = || FetchFault(format!("no answer within {} s", FETCH_DEADLINE.as_secs()));
        let status = answer.unwrap_or_else(|_| Err(late()))?.status;
        match status {
            200..=299 => Ok(()),
            status => Err(FetchFault(format!("the answer was {status}"))),
        }
    }
}
