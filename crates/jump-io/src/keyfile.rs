//! Key files: secrets go from the disk to their holder and nowhere else.
//!
//! A key file holds 32 bytes as one line of base64. A client's configuration holds its secrets
//! among other settings; they are taken out before anyone else reads the text. Files that others
//! than their owner may read are refused.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use jump_proto::keys::{Secret32, StaticKey};
use jump_proto::time::Entropy;
use zeroize::Zeroizing;

/// What stands for the private key in the template of a client's configuration.
pub const PLACEHOLDER: &str = "@PRIVATE_KEY@";
/// The secrets that a client's configuration may hold.
const PRIVATE_KEY: &str = "private_key";
const PSK: &str = "psk";
/// No key file or configuration is larger.
const FILE_MAX: u64 = 1 << 20;
/// Base64 of 32 bytes.
const SECRET_TEXT: usize = 44;

/// Why a key file cannot be used.
#[derive(Debug)]
pub enum KeyFileError {
    /// A key is there already, and is not overwritten.
    Exists(PathBuf),
    /// The system refused.
    Io(PathBuf, io::Error),
    /// The text is not what was expected.
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on; 0 stands for the whole file.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// The file belongs to somebody else.
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Others than the owner may use the file.
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => {
                write!(formatter, "{} exists already; keys are never overwritten", path.display())
            }
            Self::Io(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Malformed { path, line: 0, expected } => {
                write!(formatter, "{}: expected {expected}", path.display())
            }
            Self::Malformed { path, line, expected } => {
                write!(formatter, "{}:{line}: expected {expected}", path.display())
            }
            Self::NotOurs { path, owner } => write!(
                formatter,
                "{} belongs to user {owner}; it must belong to the user that runs this (chown)",
                path.display()
            ),
            Self::TooOpen { path, mode } => write!(
                formatter,
                "{path} has mode {mode:04o}; it must be 0600, readable by its owner only \
                 (chmod 600 {path})",
                path = path.display()
            ),
        }
    }
}

impl std::error::Error for KeyFileError {}

/// The secrets of a gateway.
#[derive(Debug)]
pub struct GatewayKeys {
    /// Its identity.
    pub identity: StaticKey,
    /// What only this node knows.
    pub node: Secret32,
    /// What all gateways of the cluster know.
    pub cluster: Secret32,
}

impl GatewayKeys {
    /// Draws new keys and writes them into `directory`, where none of them may be yet.
    pub fn create(directory: &Path, entropy: &mut dyn Entropy) -> Result<Self, KeyFileError> {
        let paths = Self::files(directory);
        if let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
            return Err(KeyFileError::Exists(path.clone()));
        }
        let secrets = [(); 3].map(|()| Secret32::generate(entropy));
        for (path, secret) in paths.iter().zip(&secrets) {
            write_secret(path, secret)?;
        }
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| KeyFileError::Io(directory.to_owned(), error))?;
        Ok(Self::of(secrets))
    }

    /// Reads the keys of `directory`.
    pub fn load(directory: &Path) -> Result<Self, KeyFileError> {
        let [identity, node, cluster] = Self::files(directory);
        let secrets = [read_secret(&identity)?, read_secret(&node)?, read_secret(&cluster)?];
        Ok(Self::of(secrets))
    }

    fn files(directory: &Path) -> [PathBuf; 3] {
        ["gateway.key", "node.key", "cluster.key"].map(|name| directory.join(name))
    }

    fn of([identity, node, cluster]: [Secret32; 3]) -> Self {
        Self { identity: StaticKey::new(identity), node, cluster }
    }
}

/// The secrets of a client.
#[derive(Debug)]
pub struct ClientKeys {
    /// Its identity.
    pub identity: StaticKey,
    /// What it shares with its gateway beforehand, if anything.
    pub psk: Option<Secret32>,
}

impl ClientKeys {
    /// Takes the secrets out of the configuration `path`; returns them and the text with empty
    /// strings in their place.
    pub fn load(path: &Path) -> Result<(Self, String), KeyFileError> {
        let bytes = read_private(path)?;
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Err(malformed(path, 0, "UTF-8 text"));
        };
        let (mut private, mut psk) = (None, None);
        let mut rest = String::with_capacity(text.len());
        let mut in_table = false;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            in_table |= line.trim_start().starts_with('[');
            let place = match key_of(line) {
                PRIVATE_KEY => &mut private,
                PSK => &mut psk,
                _ => {
                    rest.push_str(line);
                    continue;
                }
            };
            let value = value_of(line).filter(|_| !in_table && place.is_none());
            let secret = value.and_then(|(_, value)| secret_of(value));
            let Some((secret, (start, value))) = secret.zip(value) else {
                return Err(malformed(path, number, SECRET_LINE));
            };
            *place = Some(secret);
            rest.push_str(&line[..start]);
            rest.push_str(&line[start + value.len()..]);
        }
        let private = private.ok_or_else(|| malformed(path, 0, SECRET_LINE))?;
        let identity = StaticKey::new(private);
        Ok((Self { identity, psk }, rest))
    }

    /// Draws an identity and writes `template` with its private key into `file`; returns the public
    /// key.
    pub fn write_config(
        mut file: impl Write,
        template: &str,
        entropy: &mut dyn Entropy,
    ) -> io::Result<[u8; 32]> {
        let Some((before, after)) = template.split_once(PLACEHOLDER) else {
            let text = format!("the template has no {PLACEHOLDER}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let identity = StaticKey::generate(entropy);
        let mut encoded = Zeroizing::new([0_u8; SECRET_TEXT]);
        encode(identity.private(), &mut encoded[..]);
        file.write_all(before.as_bytes())?;
        file.write_all(&encoded[..])?;
        file.write_all(after.as_bytes())?;
        file.flush()?;
        Ok(*identity.public())
    }
}

const SECRET_LINE: &str = "private_key = \"<44 characters of base64>\" once and above the first \
                           [table], and psk in the same form or not at all";

/// Returns the key of a line `key = value`, or nothing of use.
fn key_of(line: &str) -> &str {
    let key = line.split_once('=').map_or("", |(key, _)| key);
    // A quoted key means the same to TOML: it must not slip through.
    key.trim().trim_matches(['"', '\''])
}

/// Returns where the text between the first quotes begins, and that text, if nothing but a comment
/// follows.
fn value_of(line: &str) -> Option<(usize, &str)> {
    let (before, quoted) = line.split_once('"')?;
    let (value, after) = quoted.split_once('"')?;
    let ended = after.trim_start().is_empty() || after.trim_start().starts_with('#');
    let assigned = before.trim_end().ends_with('=');
    (ended && assigned).then_some((before.len() + 1, value))
}

fn read_secret(path: &Path) -> Result<Secret32, KeyFileError> {
    let bytes = read_private(path)?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| secret_of(text.trim_end()))
        .ok_or_else(|| malformed(path, 1, "one line of 44 characters of base64"))
}

/// Reads a file that only its owner, who must be the caller, can read.
fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let failed = |error| KeyFileError::Io(path.to_owned(), error);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(failed)?;
    // The open file is asked, not its name, which may mean another file by now.
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() || facts.len() > FILE_MAX {
        return Err(malformed(path, 0, "a regular file of at most 1 MiB"));
    }
    if facts.uid() != rustix::process::geteuid().as_raw() {
        return Err(KeyFileError::NotOurs { path: path.to_owned(), owner: facts.uid() });
    }
    if facts.mode() & 0o077 != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode: facts.mode() & 0o7777 });
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_MAX as usize));
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn write_secret(path: &Path, secret: &Secret32) -> Result<(), KeyFileError> {
    let mut line = Zeroizing::new([b'\n'; SECRET_TEXT + 1]);
    encode(secret, &mut line[..SECRET_TEXT]);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&*line).and_then(|()| file.sync_all()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => KeyFileError::Io(path.to_owned(), error),
    })
}

fn secret_of(text: &str) -> Option<Secret32> {
    let mut bytes = Zeroizing::new([0; 32]);
    let decoded = Base64::decode(text, &mut *bytes).ok()?;
    (decoded.len() == bytes.len()).then(|| Secret32::new(*bytes))
}

fn encode(secret: &Secret32, out: &mut [u8]) {
    // The space fits: 32 bytes are 44 characters.
    let _ = Base64::encode(secret.as_bytes(), out);
}

fn malformed(path: &Path, line: usize, expected: &'static str) -> KeyFileError {
    KeyFileError::Malformed { path: path.to_owned(), line, expected }
}
