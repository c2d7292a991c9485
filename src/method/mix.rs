//! `mix:` methods: which contexts and which networks are mixed.

use std::path::PathBuf;

use super::base::Base;
use super::grammar::{is_whole, number, pairs, split_outside, switch};
use super::network::Network;
use crate::error::{Result, fail, shortened};
use crate::mix::Options;

/// Parses `neural=none,orders=0-6,word=1,match=1,sparse=1,fast=0,mem=16M`: any subset of the keys, in any order. These are the
/// defaults. `model_is_open`: see [`Base::parse`]; then the default of `neural` is that model.
pub(super) fn parse(text: &str, model_is_open: bool) -> Result<(Vec<Network>, Options)> {
    let mut options =
        Options { neural: 0, knowing: 0, highest_order: 6, words: true, matches: true, sparse: true, fast: 0, log: 24 };
    let mut networks = if model_is_open { vec![Network::new(Base::File(PathBuf::new()))] } else { Vec::new() };
    pairs(text, &["neural", "orders", "word", "match", "sparse", "fast", "mem"], |key, value| {
        match key {
            "neural" => networks = parse_neural(value, model_is_open)?,
            "orders" => options.highest_order = orders(value)?,
            "word" => options.words = switch(key, value)?,
            "match" => options.matches = switch(key, value)?,
            "sparse" => options.sparse = switch(key, value)?,
            "fast" => options.fast = number(key, value, 2)? as u8,
            _ => options.log = memory(value)?,
        }
        Ok(())
    })?;
    let views = |n: &Network| 1 + u8::from(n.head.is_some());
    options.neural = networks.iter().map(views).sum();
    options.knowing = networks.iter().filter(|n| n.is_pretrained()).map(views).sum();
    Ok((networks, options))
}

/// The canonical form: every key in a fixed order, `fast` only if it is not 0.
pub(super) fn canonical(networks: &[Network], options: &Options) -> String {
    let o = options;
    let networks: Vec<String> = networks.iter().map(|n| format!("({})", n.canonical())).collect();
    let networks = if networks.is_empty() { "none".to_owned() } else { networks.join("+") };
    let [words, matches, sparse] = [o.words, o.matches, o.sparse].map(u8::from);
    let fast = if o.fast > 0 { format!("fast={},", o.fast) } else { String::new() };
    format!(
        "mix:neural={networks},orders=0-{},word={words},match={matches},sparse={sparse},{fast}mem={}",
        o.highest_order,
        memory_text(o.log)
    )
}

/// A memory size as method strings spell it: 64K, 16M.
fn memory_text(log: u8) -> String {
    let unit = ["K", "M"][usize::from(log / 10) - 1];
    format!("{}{unit}", 1 << (log % 10))
}

/// Parses a memory size: a power of two from 2^16 to 2^27 bytes. Returns its binary logarithm.
fn memory(value: &str) -> Result<u8> {
    match (16..=27).find(|log| memory_text(*log) == value) {
        Some(log) => Ok(log),
        None => fail!(Method, "mem={}: a power of two from 64K to 128M is needed", shortened(value)),
    }
}

/// Parses a range of orders such as `0-6`. Returns the highest order.
fn orders(value: &str) -> Result<u8> {
    match value.strip_prefix("0-").filter(|n| is_whole(n)).and_then(|n| n.parse::<u8>().ok()) {
        Some(n) if (2..=8).contains(&n) => Ok(n),
        _ => fail!(Method, "orders={}: 0-2 to 0-8 are allowed", shortened(value)),
    }
}

/// Parses the networks of a mix: `none`, or a network in parentheses, optionally followed by a plus and a GRU in
/// parentheses. A path without a prefix is not allowed, so that the method of a frame never makes the library access a
/// file.
fn parse_neural(value: &str, model_is_open: bool) -> Result<Vec<Network>> {
    if value == "none" {
        return Ok(Vec::new());
    }
    let mut networks = Vec::new();
    for part in split_outside(value, '+') {
        let inner = part?.trim().strip_prefix('(').and_then(|v| v.strip_suffix(')')).map(str::trim_start);
        let known = |inner: &&str| ["cfg:", "gru:", "builtin:", "file:"].iter().any(|known| inner.starts_with(known));
        let Some(inner) = inner.filter(known) else {
            fail!(
                Method,
                "neural={}: none, (cfg:...), (gru:...), (builtin:...) and (file:PATH) are allowed, and +(gru:...) after them",
                shortened(value)
            );
        };
        networks.push(Network::parse(inner, model_is_open, true)?);
        if networks.len() > 2 || networks.get(1).is_some_and(|n| !matches!(n.base, Base::Gru { .. })) {
            fail!(Method, "neural={}: one network, and a GRU after a plus, are allowed", shortened(value));
        }
    }
    Ok(networks)
}
