//! An issuer of tokens: its keys, made by openssl, and the tokens that they sign; and a server that
//! publishes the keys over TLS and can be told to publish others. Blocking, one thread a connection.

use crate::openssl::{Openssl, Signer};
use crate::reviews::base64url;
use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which keys there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RSA of 2048 bits, for RS256.
    Rsa,
    /// P-256, for ES256.
    P256,
}

/// A key of an issuer.
#[derive(Clone, Debug)]
pub struct Key {
    openssl: Openssl,
    dir: PathBuf,
    kind: Kind,
    id: String,
}

impl Key {
    /// A new one with this name, in a directory that exists.
    ///
    /// # Errors
    /// `openssl` does not make it.
    pub fn new(dir: &Path, kind: Kind, id: &str) -> Result<Self> {
        let openssl = Openssl::new(dir);
        let words = match kind {
            Kind::Rsa => ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            Kind::P256 => ["EC", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
        };
        let file = format!("{id}.key");
        let mut all = vec!["genpkey", "-out", &file, "-algorithm"];
        all.extend(words);
        openssl.run(&all)?;
        Ok(Self {
            openssl,
            dir: dir.to_path_buf(),
            kind,
            id: id.to_owned(),
        })
    }

    fn made(&self, name: &str, words: &[&str]) -> Result<Vec<u8>> {
        let file = format!("{}.{name}", self.id);
        let mut all = words.to_vec();
        all.splice(1..1, ["-out", &file]);
        self.openssl.run(&all)?;
        Ok(std::fs::read(self.dir.join(file))?)
    }

    /// The public key in DER.
    ///
    /// # Errors
    /// `openssl` does not write it.
    pub fn public(&self) -> Result<Vec<u8>> {
        let key = format!("{}.key", self.id);
        let words = ["pkey", "-in", &key, "-pubout", "-outform", "DER"];
        self.made("pub", &words)
    }

    /// As the issuer publishes it.
    ///
    /// # Errors
    /// As [`Key::public`].
    pub fn jwk(&self) -> Result<Value> {
        let der = self.public()?;
        let last = |count: usize| der.len().checked_sub(count).context("a short key");
        let part = |from: usize, length: usize| {
            let bytes = der.get(from..from + length).context("a short key")?;
            anyhow::Ok(base64url(bytes))
        };
        Ok(match self.kind {
            // The exponent is 65537: `02 03 01 00 01` behind the number.
            Kind::Rsa => json!({
                "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.id,
                "n": part(last(5 + 256)?, 256)?, "e": part(last(3)?, 3)?,
            }),
            Kind::P256 => json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id,
                "x": part(last(64)?, 32)?, "y": part(last(32)?, 32)?,
            }),
        })
    }

    /// A token with these claims.
    ///
    /// # Errors
    /// `openssl` does not sign it.
    pub fn token(&self, claims: &Value) -> Result<String> {
        let algorithm = match self.kind {
            Kind::Rsa => "RS256",
            Kind::P256 => "ES256",
        };
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": self.id});
        let signed = unsigned(&header, claims);
        std::fs::write(self.dir.join("signed"), &signed)?;
        let key = format!("{}.key", self.id);
        let der = self.made("sig", &["dgst", "-sha256", "-sign", &key, "signed"])?;
        let signature = match self.kind {
            Kind::Rsa => der,
            Kind::P256 => numbers(&der)?,
        };
        Ok(format!("{signed}.{}", base64url(&signature)))
    }

    /// A token that is signed with this text as a shared secret.
    ///
    /// # Errors
    /// `openssl` does not sign it.
    pub fn shared(&self, claims: &Value, secret: &[u8]) -> Result<String> {
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": self.id});
        let signed = unsigned(&header, claims);
        std::fs::write(self.dir.join("signed"), &signed)?;
        let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = format!("hexkey:{digits}");
        let mut words = vec!["dgst", "-sha256", "-mac", "HMAC", "-macopt", &secret];
        words.extend(["-binary", "signed"]);
        let signature = self.made("mac", &words)?;
        Ok(format!("{signed}.{}", base64url(&signature)))
    }
}

/// Header and claims of a token, without a signature.
#[must_use]
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// The two numbers of a signature, 32 bytes each.
fn numbers(der: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = der.get(2..).context("a short signature")?;
    while let [2, length, tail @ ..] = rest {
        let (number, tail) = tail
            .split_at_checked(usize::from(*length))
            .context("a short number")?;
        let start = number.iter().position(|byte| *byte != 0).unwrap_or(0);
        let digits = number.get(start..).unwrap_or_default();
        out.extend(vec![0; 32 - digits.len()]);
        out.extend(digits);
        rest = tail;
    }
    ensure!(out.len() == 64, "{} bytes of a signature", out.len());
    Ok(out)
}

/// What is answered instead of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instead {
    /// This text.
    Text(String),
    /// That it is at another address.
    Redirect(String),
    /// Nothing: the connection is closed.
    Nothing,
}

/// Publishes keys. It ends with the process.
#[derive(Clone, Debug)]
pub struct Publisher {
    address: SocketAddr,
    state: Arc<Mutex<Published>>,
}

#[derive(Debug, Default)]
struct Published {
    keys: Vec<Value>,
    /// What is answered instead, if anything is.
    instead: Option<Instead>,
    asked: usize,
}

impl Publisher {
    /// Starts it as `localhost`, with a certificate by `signer`.
    ///
    /// # Errors
    /// No port is free, or there is no certificate.
    pub fn start(openssl: &Openssl, signer: &Signer, keys: &[&Key]) -> Result<Self> {
        let csr = openssl.p256()?;
        let names = "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n";
        let certificate = openssl.sign(&csr, signer, names)?;
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(csr.key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.collect::<Result<_, _>>()?, key)?;
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let publisher = Self {
            address: listener.local_addr()?,
            state: Arc::default(),
        };
        publisher.publish(keys)?;
        let server = publisher.clone();
        std::thread::Builder::new()
            .name("keys".into())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (server, config) = (server.clone(), config.clone());
                    std::thread::spawn(move || server.answer(config, stream));
                }
            })?;
        Ok(publisher)
    }

    fn state(&self) -> MutexGuard<'_, Published> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes these keys from now on, and no others.
    ///
    /// # Errors
    /// A key cannot be read.
    pub fn publish(&self, keys: &[&Key]) -> Result<()> {
        let keys = keys.iter().map(|key| key.jwk());
        let keys = keys.collect::<Result<_>>()?;
        let mut state = self.state();
        (state.keys, state.instead) = (keys, None);
        Ok(())
    }

    /// Answers something else from now on.
    pub fn answer_with(&self, instead: Instead) {
        self.state().instead = Some(instead);
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    /// Its address.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("https://localhost:{}/keys", self.address.port())
    }

    fn answer(&self, config: Arc<ServerConfig>, stream: TcpStream) -> Result<()> {
        let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
        let mut reader = BufReader::new(&mut stream);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let (head, body) = {
            let mut state = self.state();
            state.asked += 1;
            match state.instead.clone() {
                None => ("200 OK".to_owned(), json!({"keys": state.keys}).to_string()),
                Some(Instead::Text(text)) => ("200 OK".to_owned(), text),
                Some(Instead::Redirect(to)) => {
                    (format!("302 Found\r\nlocation: {to}"), String::new())
                }
                Some(Instead::Nothing) => return Ok(()),
            }
        };
        write!(
            stream,
            "HTTP/1.1 {head}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        stream.flush()?;
        Ok(())
    }
}
