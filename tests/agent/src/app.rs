//! An application whose answers a test chooses, by path.

use anyhow::Result;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// One answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status; 0 is 200.
    pub status: u16,
    /// Header lines, each with its line end.
    pub headers: String,
    /// The body.
    pub body: Vec<u8>,
    /// It never comes.
    pub withheld: bool,
}

type Seen = Arc<Mutex<Vec<String>>>;

/// A running application: ends with the process.
#[derive(Debug)]
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Seen,
}

impl App {
    /// Listens. A path that is not in the list is answered with 404.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(address: SocketAddr, answers: &[(&str, Answer)]) -> Result<Self> {
        let answers = answers
            .iter()
            .map(|(path, a)| ((*path).to_owned(), a.clone()));
        let answers: Arc<BTreeMap<String, Answer>> = Arc::new(answers.collect());
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let seen = Seen::default();
        let app = Self {
            address,
            seen: seen.clone(),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, seen) = (answers.clone(), seen.clone());
                std::thread::spawn(move || serve(&stream, &answers, &seen));
            }
        });
        Ok(app)
    }

    /// The heads of all requests so far, in lower case.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Answers until the client goes away.
fn serve(stream: &TcpStream, answers: &BTreeMap<String, Answer>, seen: &Seen) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(head.to_ascii_lowercase());
        let path = head.split(' ').nth(1).unwrap_or_default();
        let missing = Answer {
            status: 404,
            ..Answer::default()
        };
        let answer = answers.get(path).unwrap_or(&missing);
        if answer.withheld {
            // Until the client has had enough.
            return (reader.read_line(&mut head).ok()? == 0).then_some(());
        }
        let status = if answer.status == 0 {
            200
        } else {
            answer.status
        };
        let text = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{}\r\n",
            answer.body.len(),
            answer.headers
        );
        let whole = [text.as_bytes(), &answer.body].concat();
        (&mut &*stream).write_all(&whole).ok()?;
    }
}
