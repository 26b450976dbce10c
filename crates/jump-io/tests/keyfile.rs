//! Key files and client configurations, as they are on a disk.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use jump_io::clock::SystemEntropy;
use jump_io::keyfile::{ClientKeys, GatewayKeys, KeyFileError, PLACEHOLDER};

const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
fn created_keys_load_as_they_were() {
    let directory = Directory::new();

    let created = GatewayKeys::create(&directory.0, &mut SystemEntropy).expect("created");
    let loaded = GatewayKeys::load(&directory.0).expect("loaded");

    assert_eq!(created.identity.public(), loaded.identity.public());
    assert!(created.node == loaded.node && created.cluster == loaded.cluster);
    assert!(created.node != created.cluster);
    let mode = fs::metadata(directory.0.join("node.key")).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_key_that_exists_is_never_overwritten() {
    let directory = Directory::new();
    let there = directory.write("cluster.key", "precious", 0o600);

    let refused = GatewayKeys::create(&directory.0, &mut SystemEntropy).expect_err("refused");

    assert!(matches!(&refused, KeyFileError::Exists(path) if *path == there));
    assert_eq!(fs::read_to_string(&there).expect("there"), "precious");
    assert!(!directory.0.join("gateway.key").exists());
}

#[test]
fn a_key_that_others_may_read_is_refused_by_name_and_mode() {
    let directory = Directory::new();
    GatewayKeys::create(&directory.0, &mut SystemEntropy).expect("created");
    let open = directory.0.join("node.key");
    fs::set_permissions(&open, Permissions::from_mode(0o640)).expect("changed");

    let refused = GatewayKeys::load(&directory.0).expect_err("refused");

    let text = refused.to_string();
    assert!(matches!(refused, KeyFileError::TooOpen { mode: 0o640, .. }));
    assert!(text.contains("node.key has mode 0640"), "{text}");
}

#[test]
fn a_link_in_place_of_a_key_is_refused() {
    let directory = Directory::new();
    let secret = directory.write("elsewhere", SECRET, 0o600);
    symlink(secret, directory.0.join("gateway.key")).expect("linked");

    let refused = GatewayKeys::load(&directory.0).expect_err("refused");

    assert!(matches!(refused, KeyFileError::Io(..)));
}

#[test]
fn a_damaged_key_is_refused_by_name() {
    for text in ["", "AAEC", &SECRET[1..], &format!("{SECRET}{SECRET}"), "\u{0}"] {
        let directory = Directory::new();
        directory.write("gateway.key", text, 0o600);

        let refused = GatewayKeys::load(&directory.0).expect_err("refused").to_string();

        assert!(refused.contains("gateway.key:1: expected one line"), "{refused}");
    }
}

#[test]
fn a_configuration_loses_its_secrets_and_nothing_else() {
    let directory = Directory::new();
    let text = format!(
        "# mine\nname = \"phone\"\nprivate_key = \"{SECRET}\"  # secret\n  psk=\"{SECRET}\"\n\n\
         [gateway]\nnode = 1\n"
    );
    let path = directory.write("client.toml", &text, 0o600);

    let (keys, rest) = ClientKeys::load(&path).expect("loaded");

    assert_eq!(rest, text.replace(SECRET, ""));
    assert_eq!(keys.identity.private().as_bytes()[31], 31);
    assert!(keys.psk.is_some_and(|psk| psk.as_bytes()[1] == 1));
}

#[test]
fn a_secret_in_any_other_form_is_refused_and_never_handed_on() {
    let lines = [
        format!("private_key = '{SECRET}'\n"),
        format!("private_key = \"\"\"{SECRET}\"\"\"\n"),
        format!("\"private_key\" = '{SECRET}'\n"),
        format!("private_key = \"{SECRET}\"\nprivate_key = \"{SECRET}\"\n"),
        format!("private_key = \"{SECRET}\"\n[gateway]\npsk = \"{SECRET}\"\n"),
        format!("private_key = \"{SECRET}\" \"{SECRET}\"\n"),
        "name = \"phone\"\n".to_owned(),
    ];
    for text in lines {
        let directory = Directory::new();
        let path = directory.write("client.toml", &text, 0o600);

        let refused = ClientKeys::load(&path).map(|_| ()).expect_err(&text);

        assert!(matches!(refused, KeyFileError::Malformed { .. }), "{text}");
        assert!(!refused.to_string().contains(SECRET));
    }
}

#[test]
fn a_written_configuration_loads_with_the_key_whose_public_half_was_told() {
    let directory = Directory::new();
    let mut text = Vec::new();

    let template = format!("private_key = \"{PLACEHOLDER}\"\n[gateway]\n");
    let public =
        ClientKeys::write_config(&mut text, &template, &mut SystemEntropy).expect("written");

    let path = directory.write("client.toml", std::str::from_utf8(&text).expect("text"), 0o600);
    let (keys, rest) = ClientKeys::load(&path).expect("loaded");
    assert_eq!((*keys.identity.public(), rest), (public, template.replace(PLACEHOLDER, "")));
}

#[test]
fn a_template_without_a_place_for_the_key_is_refused() {
    let refused = ClientKeys::write_config(Vec::new(), "name = \"phone\"\n", &mut SystemEntropy);

    assert!(refused.is_err());
}

/// A directory that disappears with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("jump-io-keyfile-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a fresh directory");
        Self(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("changed");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        // What stays behind lies in the system's temporary directory.
        let _ = fs::remove_dir_all(path);
    }
}
