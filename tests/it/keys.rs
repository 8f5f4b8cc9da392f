//! Tokens, the keys that prove them, and where these come from.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use async_trait::async_trait;
use hookgate::keys::{Document, FetchFault, FetchRequest, KeyFetcher};
use serde_json::Value;
use tokio::sync::watch;

mod addresses;
mod cache;
mod gateway;
mod providers;
mod tokens;
mod vectors;

/// Answers by address, and counts; addresses that it does not know fail.
struct Fetcher {
    answers: Mutex<HashMap<String, Document>>,
    asked: Mutex<Vec<(String, Option<String>)>>,
    /// Fetches wait while it is not.
    open: watch::Sender<bool>,
}

impl Fetcher {
    fn new() -> Self {
        Self {
            answers: Mutex::default(),
            asked: Mutex::default(),
            open: watch::Sender::new(true),
        }
    }

    fn answer(&self, url: &str, document: Document) {
        let mut answers = self.answers.lock().unwrap();
        answers.insert(url.to_owned(), document);
    }

    fn fail(&self, url: &str) {
        self.answers.lock().unwrap().remove(url);
    }

    /// Addresses and bodies, in order.
    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.asked.lock().unwrap().clone()
    }

    fn fetches(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl KeyFetcher for Fetcher {
    async fn fetch(&self, request: &FetchRequest) -> Result<Document, FetchFault> {
        let url = request.url.to_string();
        let json = request.json.as_ref().map(|json| json.to_string());
        self.asked.lock().unwrap().push((url.clone(), json));
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
        let found = self.answers.lock().unwrap().get(&url).cloned();
        found.ok_or(FetchFault("nobody is there".to_owned()))
    }
}

fn document(status: u16, body: impl Into<Vec<u8>>) -> Document {
    Document {
        status,
        max_age: None,
        body: body.into().into(),
    }
}

fn jwks(keys: &[Value]) -> Document {
    document(200, serde_json::json!({ "keys": keys }).to_string())
}

fn for_seconds(document: Document, seconds: u64) -> Document {
    Document {
        max_age: Some(Duration::from_secs(seconds)),
        ..document
    }
}
