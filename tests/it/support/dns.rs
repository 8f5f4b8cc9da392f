//! A name server on loopback that answers by its script and remembers what it was asked.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use hickory_resolver::proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::SOA},
};
use tokio::{net::UdpSocket, sync::watch, task::JoinHandle};

use super::PATIENCE;

/// What is answered for a name.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Those of the family that is asked for, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// NXDOMAIN, for so many seconds.
    NoSuchName(u32),
    /// SERVFAIL.
    Failure,
    Silence,
}

/// See the module. Answers nothing any more when it is dropped.
pub struct NameServer {
    pub address: SocketAddr,
    state: watch::Sender<State>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// By name without the last dot; what is not here does not exist.
    answers: HashMap<String, Answer>,
    /// In order of arrival.
    asked: Vec<(String, RecordType)>,
}

impl NameServer {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let state = watch::Sender::new(State::default());
        let serving = tokio::spawn(serve(Arc::new(socket), state.clone()));
        Self {
            address,
            state,
            serving,
        }
    }

    /// From now on.
    pub fn answer(&self, name: &str, answer: Answer) {
        self.state.send_modify(|state| {
            state.answers.insert(name.to_owned(), answer);
        });
    }

    pub fn addresses(&self, name: &str, addresses: &[&str], ttl: u32) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        self.answer(name, Answer::Addresses(addresses.collect(), ttl));
    }

    /// How often it was asked for addresses of this family.
    pub fn asked(&self, name: &str, family: RecordType) -> usize {
        self.state.borrow().asked(name, family)
    }

    pub async fn wait_until_asked(&self, name: &str, family: RecordType, times: usize) {
        let mut state = self.state.subscribe();
        let asked = state.wait_for(|state| state.asked(name, family) >= times);
        let in_time = tokio::time::timeout(PATIENCE, asked).await;
        assert!(in_time.is_ok(), "`{name}` is not asked for {times} times");
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    fn asked(&self, name: &str, family: RecordType) -> usize {
        let same = |one: &&(String, RecordType)| one.0 == name && one.1 == family;
        self.asked.iter().filter(same).count()
    }
}

async fn serve(socket: Arc<UdpSocket>, state: watch::Sender<State>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..length]).unwrap();
        let query = question.queries[0].clone();
        let name = query.name().to_ascii().trim_end_matches('.').to_owned();
        let mut answer = None;
        state.send_modify(|state| {
            state.asked.push((name.clone(), query.query_type()));
            answer = state.answers.get(&name).cloned();
        });
        let answer = answer.unwrap_or(Answer::NoSuchName(0));
        if let Some(reply) = reply(&question, query, answer) {
            socket
                .send_to(&reply.to_vec().unwrap(), from)
                .await
                .unwrap();
        }
    }
}

fn reply(question: &Message, query: Query, answer: Answer) -> Option<Message> {
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    match answer {
        Answer::Silence => return None,
        Answer::Failure => reply.metadata.response_code = ResponseCode::ServFail,
        Answer::NoSuchName(ttl) => {
            reply.metadata.response_code = ResponseCode::NXDomain;
            reply.add_authority(authority(ttl));
        }
        Answer::Addresses(addresses, ttl) => {
            let asked_for = |address: &IpAddr| match query.query_type() {
                RecordType::A => address.is_ipv4(),
                RecordType::AAAA => address.is_ipv6(),
                _ => false,
            };
            for address in addresses.into_iter().filter(asked_for) {
                let record = Record::from_rdata(query.name().clone(), ttl, RData::from(address));
                reply.add_answer(record);
            }
            if reply.answers.is_empty() {
                reply.add_authority(authority(ttl));
            }
        }
    }
    reply.add_query(query);
    Some(reply)
}

/// By which a resolver knows how long what is not there will not be there.
fn authority(ttl: u32) -> Record {
    let zone = Name::from_ascii("test.").unwrap();
    let [refresh, retry, expire] = [3600; 3];
    let soa = SOA::new(zone.clone(), zone.clone(), 1, refresh, retry, expire, ttl);
    Record::from_rdata(zone, ttl, RData::SOA(soa))
}
