//! The published test vectors: `docs/reference/vectors.json` is what this module computes.
//!
//! `BLESS=1 cargo test -p jump-proto vectors` rewrites the file. A change in it is a change of the
//! protocol.

extern crate std;

mod packets;
mod secrets;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::time::Entropy;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/vectors.json");
const ABOUT: &str = "Strings are bytes in hexadecimal, numbers are integers. What each input means \
    is in docs/control-plane-protocol.md.";

#[test]
fn the_published_vectors_are_what_this_code_computes() {
    let computed = render(&[secrets::vectors(), packets::vectors()].concat());

    if std::env::var_os("BLESS").is_some() {
        std::fs::write(FILE, &computed).expect("docs/reference is there and writable");
    }
    let published = std::fs::read_to_string(FILE).unwrap_or_default();

    assert!(
        published == computed,
        "docs/reference/vectors.json is stale; if the protocol was meant to change, run \
         BLESS=1 cargo test -p jump-proto vectors"
    );
}

#[test]
fn every_vector_has_a_name_of_its_own() {
    let vectors = [secrets::vectors(), packets::vectors()].concat();
    let names: alloc::collections::BTreeSet<_> = vectors.iter().map(|vector| vector.name).collect();

    assert_eq!(names.len(), vectors.len());
}

/// One line of the file: what goes in, what comes out.
#[derive(Clone)]
struct Vector {
    name: &'static str,
    inputs: Vec<(&'static str, Value)>,
    output: Vec<u8>,
}

#[derive(Clone)]
enum Value {
    Bytes(Vec<u8>),
    Number(u64),
}

fn vector(name: &'static str, inputs: &[(&'static str, Value)], output: &[u8]) -> Vector {
    Vector { name, inputs: inputs.to_vec(), output: output.to_vec() }
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn number(number: impl Into<u64>) -> Value {
    Value::Number(number.into())
}

/// Entropy that hands out a prepared text and nothing else.
struct Script(Vec<u8>);

impl Script {
    fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat())
    }
}

impl Entropy for Script {
    fn fill(&mut self, out: &mut [u8]) {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&core::mem::replace(&mut self.0, rest));
    }
}

/// Bytes that count up from `first`, so that a swapped or shifted field shows.
fn counting<const N: usize>(first: u8) -> [u8; N] {
    core::array::from_fn(|at| first.wrapping_add(at as u8))
}

fn render(vectors: &[Vector]) -> String {
    let mut text = format!("{{\n  \"about\": \"{ABOUT}\",\n  \"vectors\": [\n");
    let blocks: Vec<String> = vectors.iter().map(render_one).collect();
    text.push_str(&blocks.join(",\n"));
    text.push_str("\n  ]\n}\n");
    text
}

fn render_one(vector: &Vector) -> String {
    let mut text = format!("    {{\n      \"name\": \"{}\",\n      \"inputs\": {{\n", vector.name);
    let inputs: Vec<String> = vector
        .inputs
        .iter()
        .map(|(name, value)| format!("        \"{name}\": {}", render_value(value)))
        .collect();
    text.push_str(&inputs.join(",\n"));
    let output = hex(&vector.output);
    write!(text, "\n      }},\n      \"output\": \"{output}\"\n    }}").expect("strings grow");
    text
}

fn render_value(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => format!("\"{}\"", hex(bytes)),
        Value::Number(number) => format!("{number}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("strings grow");
        text
    })
}
