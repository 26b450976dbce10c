#!/usr/bin/env bash
# Say what of Rust is missing, and how to get it.
set -euo pipefail

if ! command -v cargo >/dev/null; then
  echo "cargo is not on the PATH: install Rust (https://rustup.rs); with sudo: sudo env PATH=\"\$PATH\" make ..."
  exit 1
fi
for tool in rustfmt clippy-driver; do
  if ! "$tool" --version >/dev/null 2>&1; then
    echo "$tool is missing: rustup component add rustfmt clippy"
    exit 1
  fi
done
