//! Keys, signing requests and certificates by the `openssl` of the machine: another implementation
//! than the one under test.
//!
//! All files of one maker are in one directory; what is made last replaces what has its name.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Makes keys and certificates in a directory.
#[derive(Clone, Debug)]
pub struct Openssl {
    dir: PathBuf,
}

/// A signing request with its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    /// The request.
    pub request: String,
    /// The key.
    pub key: String,
}

/// Who signs: certificate and key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Openssl {
    /// In the directory, which exists.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let dir = dir.to_path_buf();
        Self { dir }
    }

    /// Runs `openssl` with these words in the directory; what it prints.
    ///
    /// # Errors
    /// It is not there, or it fails; the error has what it says.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let ran = Command::new("openssl")
            .args(words)
            .current_dir(&self.dir)
            .output();
        let ran = ran.context("cannot start openssl; install it (apt-get install openssl)")?;
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        ensure!(ran.status.success(), "openssl {words:?}: {said}");
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    /// Writes a file and gives its name back.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write<'a>(&self, name: &'a str, text: &str) -> Result<&'a str> {
        std::fs::write(self.dir.join(name), text)?;
        Ok(name)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir.join(name))?)
    }

    /// A request with a new key: `kind` is the words for it (`ec -pkeyopt
    /// ec_paramgen_curve:prime256v1`), `more` further words.
    ///
    /// # Errors
    /// `openssl` does not do that.
    pub fn csr(&self, kind: &str, more: &[&str]) -> Result<Csr> {
        let mut words = vec![
            "req", "-new", "-nodes", "-keyout", "csr.key", "-out", "csr.pem",
        ];
        words.push("-newkey");
        words.extend(kind.split(' '));
        words.extend(["-subj", "/"]);
        words.extend(more);
        self.run(&words)?;
        Ok(Csr {
            request: self.read("csr.pem")?,
            key: self.read("csr.key")?,
        })
    }

    /// A request with a P-256 key.
    ///
    /// # Errors
    /// As [`Openssl::csr`].
    pub fn p256(&self) -> Result<Csr> {
        self.csr(P256, &[])
    }

    /// A certificate for the key of `csr` by `signer`, for a day, with these lines of extensions.
    ///
    /// # Errors
    /// `openssl` does not do that.
    pub fn sign(&self, csr: &Csr, signer: &Signer, extensions: &str) -> Result<String> {
        self.write("sign.csr", &csr.request)?;
        self.write("sign.ca", &signer.certificate)?;
        self.write("sign.key", &signer.key)?;
        self.write("sign.ext", extensions)?;
        self.run(&[
            "x509", "-req", "-in", "sign.csr", "-CA", "sign.ca", "-CAkey", "sign.key", "-days",
            "1", "-extfile", "sign.ext", "-out", "sign.pem",
        ])?;
        self.read("sign.pem")
    }

    /// An authority of its own, with that name.
    ///
    /// # Errors
    /// `openssl` does not do that.
    pub fn root(&self, name: &str) -> Result<Signer> {
        let subject = format!("/O={name}");
        let mut words = vec![
            "req", "-x509", "-nodes", "-keyout", "root.key", "-out", "root.pem",
        ];
        words.push("-newkey");
        words.extend(P256.split(' '));
        words.extend(["-days", "30", "-subj", &subject, "-addext"]);
        words.push("keyUsage=critical,keyCertSign,cRLSign");
        self.run(&words)?;
        Ok(Signer {
            certificate: self.read("root.pem")?,
            key: self.read("root.key")?,
        })
    }

    /// What a certificate says, as `openssl x509 -text` shows it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn text(&self, certificate: &str) -> Result<String> {
        self.write("shown.pem", certificate)?;
        self.run(&["x509", "-in", "shown.pem", "-noout", "-text"])
    }

    /// The text in base 64, and back.
    ///
    /// # Errors
    /// It is none.
    pub fn base64(&self, text: &str) -> Result<String> {
        self.write("plain", text)?;
        self.run(&["base64", "-A", "-in", "plain"])
    }

    /// The text that is written in base 64.
    ///
    /// # Errors
    /// It is none.
    pub fn from_base64(&self, text: &str) -> Result<String> {
        self.write("base64", text)?;
        self.run(&["base64", "-d", "-A", "-in", "base64"])
    }

    /// The number of a certificate, in hexadecimal digits.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn serial(&self, certificate: &str) -> Result<String> {
        self.write("numbered.pem", certificate)?;
        let said = self.run(&["x509", "-in", "numbered.pem", "-noout", "-serial"])?;
        let (_, number) = said.trim().split_once('=').context("no serial=")?;
        Ok(number.to_owned())
    }

    /// Makes sure that a certificate counts for so long, in whole seconds.
    ///
    /// # Errors
    /// It does not.
    pub fn lasts(&self, certificate: &str, left: Duration) -> Result<()> {
        self.write("lasting.pem", certificate)?;
        let seconds = left.as_secs().to_string();
        let words = ["x509", "-in", "lasting.pem", "-noout", "-checkend"];
        self.run(&[&words[..], &[&seconds]].concat()).map(drop)
    }

    /// A list of revoked certificates by `signer` with these numbers.
    ///
    /// # Errors
    /// `openssl` does not do that.
    pub fn crl(&self, signer: &Signer, numbers: &[&str]) -> Result<String> {
        self.write("crl.ca", &signer.certificate)?;
        self.write("crl.key", &signer.key)?;
        self.write("crl.number", "01\n")?;
        let line = |number: &&str| {
            format!("R\t400101000000Z\t250101000000Z\t{number}\tunknown\t/CN=gone\n")
        };
        let lines: String = numbers.iter().map(line).collect();
        self.write("crl.index", &lines)?;
        self.write("crl.cnf", CRL)?;
        self.run(&[
            "ca", "-gencrl", "-config", "crl.cnf", "-cert", "crl.ca", "-keyfile", "crl.key",
            "-out", "crl.pem",
        ])?;
        self.read("crl.pem")
    }

    /// Verifies a chain, its leaf first and its roots last, as client and as server.
    ///
    /// # Errors
    /// It does not verify.
    pub fn verify(&self, chain: &[String]) -> Result<()> {
        let [leaf, between @ .., roots] = chain else {
            bail!("a chain of {} has no leaf and roots", chain.len());
        };
        self.write("leaf.pem", leaf)?;
        self.write("between.pem", &between.concat())?;
        self.write("roots.pem", roots)?;
        for purpose in ["sslclient", "sslserver"] {
            let mut words = vec!["verify", "-x509_strict", "-purpose", purpose];
            words.extend(["-CAfile", "roots.pem"]);
            if !between.is_empty() {
                words.extend(["-untrusted", "between.pem"]);
            }
            words.push("leaf.pem");
            self.run(&words)?;
        }
        Ok(())
    }
}

/// What `openssl ca` wants to know to write a list.
const CRL: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = crl.index\ncrlnumber = crl.number\n\
                   default_md = sha256\ndefault_crl_days = 1\n";
/// The words for a P-256 key.
pub const P256: &str = "ec -pkeyopt ec_paramgen_curve:prime256v1";
