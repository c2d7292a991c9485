//! Tokenizers: bytes to tokens and back.
//!
//! A [`Tokenizer`] comes from a `tokenizer.json` of the Hugging Face library or from the metadata of a GGUF file. It has
//! one of three engines: byte-level BPE, BPE over characters with a fallback to bytes (SentencePiece, as in LLaMA 2 and
//! Gemma), or unigram.
//!
//! - [`tokenizer`]: the tokenizer: encoding, decoding, the vocabulary
//! - `json`, `gguf`: reading it from a file
//! - `build`: from the parts that a file names to a tokenizer
//! - `raw`: the tokens as a file spells them
//! - [`vocabulary`]: the bytes and the kind of each token
//! - `encode`: how a text is cut into words; repeated words are copied
//! - `patterns`, `regex`, `category`: pre-tokenisation: patterns by name, their engine, Unicode categories
//! - `normalise`, `charsmap`: normalisation by the character map of SentencePiece
//! - `merge`, `unigram`: the engines
//! - `prefixes`, `joints`: the tokens that a text starts with, and places that no token crosses
//! - `alphabet`: how files spell bytes
//! - `table`: hash tables that are safe against chosen keys

mod alphabet;
mod build;
mod category;
mod charsmap;
mod encode;
mod gguf;
mod joints;
mod json;
mod merge;
mod normalise;
mod patterns;
mod prefixes;
mod raw;
mod regex;
mod table;
pub mod tokenizer;
mod unigram;
pub mod vocabulary;

pub use tokenizer::Tokenizer;
pub use vocabulary::{Kind, NO_TOKEN, Vocabulary};
