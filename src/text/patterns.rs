//! The patterns of pre-tokenisers that GGUF files and parts of `tokenizer.json` name.

/// GPT-2, and every `ByteLevel` with its own pattern.
pub(super) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const DEEPSEEK_V3: [&str; 3] = [
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];

/// Each digit alone.
pub(super) const DIGIT: &str = r"\p{N}";
/// All digits that follow each other.
pub(super) const DIGITS: &str = r"\p{N}+";
/// Each punctuation character alone: those of Unicode, and those of ASCII that Unicode calls symbols.
pub(super) const PUNCTUATION: &str = r"[\p{P}!-/:-@\[-`{-~]";
/// All punctuation characters that follow each other.
pub(super) const PUNCTUATIONS: &str = r"[\p{P}!-/:-@\[-`{-~]+";

/// The patterns that `tokenizer.ggml.pre` names, in the order in which they cut the text, and whether a word that is a
/// token is taken whole, without merges. The names are those of llama.cpp.
pub(super) fn of_gguf(pre: &str) -> Option<(&'static [&'static str], bool)> {
    Some(match pre {
        "gpt-2" | "gpt2" | "phi-2" | "olmo" | "jais" | "mpt" | "exaone4" => (&[GPT2], false),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" => (&[DIGIT, GPT2], false),
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "pixtral" | "smaug-bpe" => (&[LLAMA3], true),
        "dbrx" => (&[LLAMA3], false),
        "qwen2" | "deepseek-r1-qwen" | "stablelm2" | "megrez" => (&[QWEN2], false),
        "qwen35" => (&[QWEN35], false),
        "gpt-4o" | "llama4" => (&[GPT4O], false),
        "tekken" => (&[TEKKEN], true),
        "deepseek-v3" => (&DEEPSEEK_V3, false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::regex::{Regex, steps_for};

    const ALL: [&str; 13] = [
        GPT2,
        LLAMA3,
        QWEN2,
        QWEN35,
        GPT4O,
        TEKKEN,
        DEEPSEEK_V3[0],
        DEEPSEEK_V3[1],
        DEEPSEEK_V3[2],
        DIGIT,
        DIGITS,
        PUNCTUATION,
        PUNCTUATIONS,
    ];

    fn pieces<'t>(regex: &Regex, text: &'t str) -> Vec<&'t str> {
        let (mut at, mut steps, mut found) = (0, steps_for(text.len()), vec![]);
        while at < text.len() {
            let end = regex.piece(text.as_bytes(), at, &mut steps).unwrap();
            found.push(&text[at..end]);
            at = end;
        }
        found
    }

    #[test]
    fn words_are_those_of_the_models() {
        let words = |pattern, text| pieces(&Regex::new(pattern).unwrap(), text);
        assert_eq!(words(GPT2, "I'll  go: 12 x\n\n y"), ["I", "'ll", " ", " go", ":", " 12", " x", "\n\n", " y"]);
        assert_eq!(
            words(LLAMA3, "I'LL(go 12345\r\n  \n x  "),
            ["I", "'LL", "(go", " ", "123", "45", "\r\n  \n", " x", "  "]
        );
        assert_eq!(words(LLAMA3, "it'\u{17f}x"), ["it", "'\u{17f}", "x"]);
        assert_eq!(words(QWEN2, "12 a"), ["1", "2", " a"]);
        assert_eq!(words(GPT4O, "camelCase'S HTTPServer"), ["camel", "Case'S", " HTTPServer"]);
        assert_eq!(words(DEEPSEEK_V3[1], "ab漢字かc"), ["ab", "漢字か", "c"]);
        assert_eq!(words(DEEPSEEK_V3[2], "a .b\\c[d]-"), ["a", " .", "b", "\\c", "[d", "]-"]);
        assert_eq!(words(PUNCTUATION, "a+(b"), ["a", "+", "(", "b"]);
        assert_eq!(words(PUNCTUATIONS, "a+(b"), ["a", "+(", "b"]);
    }

    /// Runs of equal and alternating characters, where a matcher that backtracks badly takes time that grows with the
    /// square of the length.
    #[test]
    fn known_patterns_take_steps_in_proportion_to_the_text() {
        let units = [
            "a",
            "A",
            "aA",
            "一",
            "一A",
            "1",
            " ",
            "\n",
            " \n",
            "\r",
            "'",
            "'s",
            "-",
            "-\n",
            "\u{301}",
            "a\u{301}A",
            "/",
            " /",
        ];
        for pattern in ALL {
            let regex = Regex::new(pattern).unwrap();
            for unit in units {
                for tail in ["", "x", " ", "\n", "-"] {
                    let text = unit.repeat(5000) + tail;
                    let (mut at, mut steps) = (0, u64::MAX);
                    while at < text.len() {
                        at = regex.piece(text.as_bytes(), at, &mut steps).unwrap();
                    }
                    let taken = u64::MAX - steps;
                    assert!(taken < 80 * text.len() as u64, "{pattern} {unit:?} {tail:?}: {taken}");
                }
            }
        }
    }

    #[test]
    fn patterns_that_are_not_supported_are_refused() {
        let long = "a".repeat(100);
        let wide = "a|".repeat(2000);
        let deep = "(".repeat(20) + "a" + &")".repeat(20);
        let patterns = [
            "(a)*",
            "a**",
            "a*?",
            "(?=a)",
            "(?<a>b)",
            "(?<!a)",
            "a$",
            "^a",
            ".",
            "[a",
            "[a&&b]",
            "[[a]]",
            "[b-a]",
            "\\w",
            "\\p{Greek}",
            "\\p",
            "(a",
            "a)",
            "a{",
            "a{2,1}",
            "a{1001}",
            "(?i:[^a])",
            "(?i:\\p{L})",
            "\\",
            "(?!ab)",
            "[",
            "[]",
            "a{,3}",
            &long,
            &wide,
            &deep,
        ];
        for pattern in patterns {
            let error = Regex::new(pattern).expect_err(pattern);
            assert!(error.message().contains("pattern"), "{error}");
        }
        // Not linear: refused at the text, after a number of steps in proportion to it.
        let regex = Regex::new(r"\s*\s*\s*\s*x").unwrap();
        let mut steps = steps_for(5000);
        assert!(regex.piece(&[b' '; 5000], 0, &mut steps).unwrap_err().message().contains("steps"));
        // Branches that fail late: not exponential either.
        let regex = Regex::new(&("(a|a)".repeat(20) + "x")).unwrap();
        assert!(regex.piece(&[b'a'; 5000], 0, &mut steps_for(5000)).is_err());
    }
}
