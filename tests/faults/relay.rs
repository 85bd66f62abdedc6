//! A relay between agents and server that repeats, delays and loses what passes through: each request may arrive
//! twice, or late, or not, its answer may be lost, and messages that were given out may be given out again.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use capstan_server::Listener as _;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use turmoil::net::TcpStream;

use crate::chance::Chance;
use crate::network::{Simulated, dial, elapsed};

/// A request or an answer, byte by byte.
#[derive(Clone)]
struct Message {
    operation: String,
    bytes: Vec<u8>,
    body: usize,
}

impl Message {
    /// Nothing when the other end is done.
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut from = BufReader::with_capacity(1, from);
        let (mut bytes, mut operation, mut length) = (Vec::new(), String::new(), 0);
        loop {
            let begin = bytes.len();
            if from.read_until(b'\n', &mut bytes).await? == 0 {
                return Ok(None);
            }
            let line = String::from_utf8_lossy(&bytes[begin..]).to_ascii_lowercase();
            match line.trim_end().split_once(": ") {
                None if line == "\r\n" => break,
                Some(("x-amz-target", target)) => {
                    target
                        .rsplit('.')
                        .next()
                        .unwrap()
                        .clone_into(&mut operation);
                }
                Some(("content-length", text)) => length = text.parse().unwrap(),
                _ => {}
            }
        }
        let body = bytes.len();
        bytes.resize(body + length, 0);
        from.read_exact(&mut bytes[body..]).await?;
        Ok(Some(Self {
            operation,
            bytes,
            body,
        }))
    }

    fn has_messages(&self) -> bool {
        String::from_utf8_lossy(&self.bytes[self.body..]).contains("\"MessageId\"")
    }
}

/// The relay to one server.
pub struct Relay {
    server: String,
    chance: Mutex<Chance>,
    /// The last messages that each node was given.
    given: Mutex<HashMap<String, Message>>,
    /// From here on it is as good as a wire.
    until: std::time::Duration,
}

/// What becomes of a request.
enum Fate {
    Passes,
    Lost,
    AnswerLost,
    AnswerLate,
    Late,
    Twice,
    OldAnswer,
}

impl Relay {
    pub fn new(server: &str, chance: Chance, until: std::time::Duration) -> Arc<Self> {
        Arc::new(Self {
            server: server.to_owned(),
            chance: Mutex::new(chance),
            given: Mutex::default(),
            until,
        })
    }

    pub async fn run(self: Arc<Self>) -> io::Result<()> {
        let mut listener = Simulated::bind().await?;
        loop {
            let stream = listener.accept().await?;
            let relay = Arc::clone(&self);
            tokio::spawn(async move { relay.serve(stream).await });
        }
    }

    fn fate(&self) -> Fate {
        if elapsed() > self.until {
            return Fate::Passes;
        }
        match self.chance.lock().unwrap().of(0..=99) {
            0..8 => Fate::Lost,
            8..18 => Fate::AnswerLost,
            18..24 => Fate::AnswerLate,
            24..30 => Fate::Late,
            30..48 => Fate::Twice,
            48..60 => Fate::OldAnswer,
            _ => Fate::Passes,
        }
    }

    async fn forward(&self, request: &Message) -> io::Result<Message> {
        let mut server = dial(&self.server).await?;
        server.write_all(&request.bytes).await?;
        let answer = Message::read(&mut server).await?;
        answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    async fn pause(&self, seconds: u64) {
        let pause = self.chance.lock().unwrap().seconds(0..=seconds);
        tokio::time::sleep(pause).await;
    }

    async fn serve(self: Arc<Self>, mut client: TcpStream) -> io::Result<()> {
        let node = client.peer_addr()?.ip().to_string();
        while let Some(request) = Message::read(&mut client).await? {
            let is_poll = request.operation == "getmessages";
            let answer = match self.fate() {
                Fate::Lost => return Ok(()),
                Fate::AnswerLost => {
                    self.forward(&request).await?;
                    return Ok(());
                }
                Fate::AnswerLate => {
                    let answer = self.forward(&request).await?;
                    self.pause(15).await;
                    answer
                }
                Fate::Late => {
                    self.pause(15).await;
                    self.forward(&request).await?
                }
                Fate::Twice => {
                    let (relay, again) = (Arc::clone(&self), request.clone());
                    tokio::spawn(async move {
                        relay.pause(60).await;
                        let _ = relay.forward(&again).await;
                    });
                    self.forward(&request).await?
                }
                Fate::OldAnswer if is_poll && self.given.lock().unwrap().contains_key(&node) => {
                    self.pause(5).await;
                    self.given.lock().unwrap()[&node].clone()
                }
                Fate::OldAnswer | Fate::Passes => self.forward(&request).await?,
            };
            if is_poll && answer.has_messages() {
                let mut given = self.given.lock().unwrap();
                given.insert(node.clone(), answer.clone());
            }
            client.write_all(&answer.bytes).await?;
        }
        Ok(())
    }
}
