//! Tokens of a model's vocabulary.

use std::ffi::c_void;

use super::buffers::{check_apart, input, output};
use super::guard::sized;
use super::model::gptz_model;
use super::object::object;
use super::status::gptz_status;
use crate::error::{Error, Result, fail};
use crate::model::VOCAB;
use crate::model::open::Opened;
use crate::numeric::buffer::made;

/// The bytes of a caller's array of `n` tokens.
fn bytes_of_tokens(n: usize) -> Result<usize> {
    match n.checked_mul(size_of::<u32>()).filter(|bytes| isize::try_from(*bytes).is_ok()) {
        Some(bytes) => Ok(bytes),
        None => fail!(Argument, "{n} tokens are more than memory can hold"),
    }
}

/// The error for `found` tokens in an array for `room`.
fn check_room(room: usize, found: usize) -> Result<()> {
    if found > room {
        return Err(Error::array_too_small(room, found as u64));
    }
    Ok(())
}

/// Writes the tokens of a text through `write(index, token)`.
fn tokenize(model: &Opened, text: &[u8], room: usize, mut write: impl FnMut(usize, u32)) -> Result<usize> {
    let Some(tokenizer) = model.tokenizer()? else {
        check_room(room, text.len())?;
        text.iter().enumerate().for_each(|(i, byte)| write(i, u32::from(*byte)));
        return Ok(text.len());
    };
    let mut tokens = Vec::new();
    tokenizer.encode(text, &mut tokens)?;
    check_room(room, tokens.len())?;
    tokens.iter().enumerate().for_each(|(i, token)| write(i, *token));
    Ok(tokens.len())
}

/// The bytes of tokens, each read by `token(index)`.
fn detokenize(model: &Opened, n: usize, token: impl Fn(usize) -> u32, dst: &mut [u8]) -> Result<usize> {
    let Some(tokenizer) = model.tokenizer()? else {
        for i in 0..n {
            let token = token(i);
            let Ok(byte) = u8::try_from(token) else {
                fail!(Argument, "token {i} is {token}, the vocabulary has {VOCAB}");
            };
            if let Some(to) = dst.get_mut(i) {
                *to = byte;
            }
        }
        return if n > dst.len() { Err(Error::buffer_too_small(dst.len(), n as u64)) } else { Ok(n) };
    };
    let tokens = made(n, "a list of tokens", |i| Ok(token(i)))?;
    let mut text = Vec::new();
    tokenizer.decode(&tokens, &mut text)?;
    match dst.get_mut(..text.len()) {
        Some(to) => to.copy_from_slice(&text),
        None => return Err(Error::buffer_too_small(dst.len(), text.len() as u64)),
    }
    Ok(text.len())
}

/// Cuts `len` bytes of text into tokens of the model's vocabulary. `tokens` has room for `cap` of them. On success `*n`
/// is their number. It is at most `len` + 1 if the text is not normalised. The tokens of a byte-level model are the bytes.
///
/// The text may be any bytes, and gptz_detokenize gives them back. (A model with a character map of SentencePiece, such as
/// T5, is an exception: its text is first normalised by that map, and gptz_detokenize gives the normalised text.) No token
/// is added at the start or the end. Text that looks like a control token, such as "<|endoftext|>", becomes ordinary tokens:
/// this call never gives a control token.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `cap` is less than the number of tokens; `*n` is then that number. To ask for
/// it, pass NULL and 0; the last message then does not change. GPTZ_ERROR_ARGUMENT also if a byte has no token in the
/// vocabulary; the message has the byte and its offset. GPTZ_ERROR_MEMORY. On every other failure `*n` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_tokenize(
    model: *const gptz_model,
    text: *const c_void,
    len: usize,
    tokens: *mut u32,
    cap: usize,
    n: *mut usize,
) -> gptz_status {
    let body = || {
        let room = bytes_of_tokens(cap)?;
        check_apart(text, len, tokens.cast(), room)?;
        // SAFETY: buffers of the lengths given, as the header asks. They do not overlap. The second one is only checked.
        let text = unsafe { (output(tokens.cast(), room, "tokens")?, input(text, len, "the text")?).1 };
        // SAFETY: a model or NULL, as the header asks.
        let model = unsafe { object(model) }?;
        tokenize(model, text, cap, |i, token| {
            // SAFETY: `tokenize` writes at indices below `cap`. Unaligned, for C programs may pack their structs.
            unsafe { tokens.add(i).write_unaligned(token) };
        })
    };
    // SAFETY: `n` is NULL or the caller's to write, as the header asks.
    unsafe { sized(n, tokens.is_null() && cap == 0, body) }
}

/// Writes the bytes of `n` tokens to `dst`, which has room for `cap` bytes. On success `*len` is their number. Control
/// tokens have no bytes. A token may be a part of a character.
///
/// The tokens are those of a whole text: if the model puts a space in front of each text, as LLaMA 2 does, gptz_tokenize
/// puts it there, and this call removes it.
///
/// Errors: GPTZ_ERROR_BUFFER_TOO_SMALL if `cap` is less than the number of bytes; `*len` is then that number. To ask for
/// it, pass NULL and 0; the last message then does not change. GPTZ_ERROR_ARGUMENT also for a number that is not a token
/// of the vocabulary; the message has its index. GPTZ_ERROR_MEMORY. On every other failure `*len` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gptz_detokenize(
    model: *const gptz_model,
    tokens: *const u32,
    n: usize,
    dst: *mut c_void,
    cap: usize,
    len: *mut usize,
) -> gptz_status {
    let body = || {
        let bytes = bytes_of_tokens(n)?;
        check_apart(tokens.cast(), bytes, dst, cap)?;
        // SAFETY: buffers of the lengths given, as the header asks. They do not overlap.
        let (_, dst) = unsafe { (input(tokens.cast(), bytes, "tokens")?, output(dst, cap, "the destination")?) };
        // SAFETY: a model or NULL, as the header asks.
        let model = unsafe { object(model) }?;
        // SAFETY: `detokenize` reads at indices below `n`; unaligned, as above.
        detokenize(model, n, |i| unsafe { tokens.add(i).read_unaligned() }, dst)
    };
    // SAFETY: `len` is NULL or the caller's to write, as the header asks.
    unsafe { sized(len, dst.is_null() && cap == 0, body) }
}

#[cfg(test)]
mod tests {
    use std::ptr;
    use std::sync::Arc;

    use super::*;
    use crate::ffi::message::{last_error, set_last_error};
    use crate::ffi::object::hand_out;
    use crate::ffi::{GPTZ_ERROR_ARGUMENT, gptz_model_free};
    use crate::ffi::{GPTZ_ERROR_BUFFER_TOO_SMALL, GPTZ_OK};
    use crate::model::file::Model;
    use crate::text::Tokenizer;

    const WEIGHTS: &[u8] = include_bytes!("../../tests/data/rwkv7-tiny.safetensors");
    const LLAMA2: &[u8] = include_bytes!("../../tests/data/tokenizers/llama2.json");

    fn message() -> String {
        // SAFETY: a NUL-terminated string of this thread that no call changes meanwhile.
        unsafe { std::ffi::CStr::from_ptr(last_error()) }.to_str().unwrap().to_owned()
    }

    /// A model, freed at the end of the call.
    fn with_model(with_tokenizer: bool, test: impl FnOnce(*mut gptz_model)) {
        let mut model = Model::from_bytes(WEIGHTS.to_vec()).unwrap();
        if with_tokenizer {
            model.set_tokenizer(Arc::new(Tokenizer::from_json(LLAMA2).unwrap()));
        }
        let p: *mut gptz_model = hand_out(Opened::Bytes(Arc::new(model))).unwrap();
        test(p);
        // SAFETY: the model of above.
        unsafe { gptz_model_free(p) };
    }

    /// Calls gptz_tokenize with this room; NULL if there is none.
    fn tokens_of(model: *const gptz_model, text: &[u8], room: &mut [u32]) -> (gptz_status, usize) {
        let mut n = 77;
        let to = if room.is_empty() { ptr::null_mut() } else { room.as_mut_ptr() };
        let from = if text.is_empty() { ptr::null() } else { text.as_ptr() };
        // SAFETY: a model and buffers of their lengths.
        (unsafe { gptz_tokenize(model, from.cast(), text.len(), to, room.len(), &mut n) }, n)
    }

    /// As [`tokens_of`], for gptz_detokenize.
    fn text_of(model: *const gptz_model, tokens: &[u32], room: &mut [u8]) -> (gptz_status, usize) {
        let mut n = 77;
        let to = if room.is_empty() { ptr::null_mut() } else { room.as_mut_ptr() };
        let from = if tokens.is_empty() { ptr::null() } else { tokens.as_ptr() };
        // SAFETY: a model and buffers of their lengths.
        (unsafe { gptz_detokenize(model, from, tokens.len(), to.cast(), room.len(), &mut n) }, n)
    }

    #[test]
    fn text_goes_there_and_back_and_every_room_that_is_too_small_says_what_is_needed() {
        let text = [" Alice's \u{2581} \0<s>\u{10ffff} ".as_bytes(), &[0xff]].concat();
        for with_tokenizer in [false, true] {
            with_model(with_tokenizer, |model| {
                set_last_error("before");
                let (status, count) = tokens_of(model, &text, &mut []);
                assert_eq!((status, message().as_str()), (GPTZ_ERROR_BUFFER_TOO_SMALL, "before"));
                assert!(count > 10 && count <= text.len() + 1 && (with_tokenizer || count == text.len()));
                let mut tokens = vec![0; count];
                for room in 1..=count {
                    let expected = if room < count { GPTZ_ERROR_BUFFER_TOO_SMALL } else { GPTZ_OK };
                    assert_eq!(tokens_of(model, &text, &mut tokens[..room]), (expected, count), "{}", message());
                }
                assert_eq!(message(), format!("the array holds {} tokens, {count} are needed", count - 1));
                assert!(with_tokenizer || tokens.iter().map(|t| *t as u8).eq(text.iter().copied()));
                let mut back = vec![0; text.len()];
                for room in 1..=text.len() {
                    let expected = if room < text.len() { GPTZ_ERROR_BUFFER_TOO_SMALL } else { GPTZ_OK };
                    assert_eq!(text_of(model, &tokens, &mut back[..room]), (expected, text.len()));
                }
                assert_eq!(back, text);
                set_last_error("before");
                assert_eq!(text_of(model, &tokens, &mut []), (GPTZ_ERROR_BUFFER_TOO_SMALL, text.len()));
                assert_eq!(message(), "before");
                // Nothing needs no room.
                assert_eq!(tokens_of(model, &[], &mut []), (GPTZ_OK, 0));
                assert_eq!(text_of(model, &[], &mut []), (GPTZ_OK, 0));
            });
        }
    }

    #[test]
    fn wrong_arguments_are_refused_with_a_length_of_0() {
        with_model(true, |model| {
            let vocabulary = Tokenizer::from_json(LLAMA2).unwrap().vocabulary().len() as u32;
            let (mut n, mut words) = (9usize, [5u32, vocabulary, 5, 5]);
            let p = words.as_mut_ptr();
            let check = |status: gptz_status, found: &mut usize, part: &str| {
                assert_eq!((status, *found), (GPTZ_ERROR_ARGUMENT, 0), "{part}");
                assert!(message().contains(part), "{}", message());
                *found = 9;
            };
            let mut out = [0u8; 64];
            // SAFETY: buffers of their lengths, or lengths that are refused.
            unsafe {
                let to = out.as_mut_ptr().cast();
                check(gptz_detokenize(model, p, 4, to, 64, &mut n), &mut n, "token 1 is");
                check(gptz_detokenize(model, p, 4, p.add(1).cast(), 2, &mut n), &mut n, "overlap");
                check(gptz_detokenize(model, p, usize::MAX / 2, to, 64, &mut n), &mut n, "more than memory");
                check(gptz_detokenize(model, ptr::null(), 1, to, 64, &mut n), &mut n, "NULL");
                check(gptz_detokenize(model, p, 1, ptr::null_mut(), 1, &mut n), &mut n, "NULL");
                check(gptz_detokenize(ptr::null(), p, 1, to, 64, &mut n), &mut n, "NULL");
                check(gptz_tokenize(model, p.cast(), 4, p, 2, &mut n), &mut n, "overlap");
                check(gptz_tokenize(model, to, 4, p, usize::MAX / 2, &mut n), &mut n, "more than memory");
                check(gptz_tokenize(model, to, 4, ptr::null_mut(), 2, &mut n), &mut n, "NULL");
                check(gptz_tokenize(model, ptr::null(), 4, p, 2, &mut n), &mut n, "NULL");
                check(gptz_tokenize(ptr::null(), to, 4, p, 2, &mut n), &mut n, "NULL");
                assert_eq!(gptz_tokenize(model, to, 4, p, 2, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
                assert_eq!(gptz_detokenize(model, p, 1, to, 64, ptr::null_mut()), GPTZ_ERROR_ARGUMENT);
            }
        });
        with_model(false, |model| {
            assert_eq!(text_of(model, &[65, 256], &mut [0; 2]), (GPTZ_ERROR_ARGUMENT, 0));
            assert_eq!(message(), "token 1 is 256, the vocabulary has 256");
        });
    }
}
