use super::*;

fn words(text: &str) -> Vec<String> {
    let mut scanner = Scanner::new(&Analyzer::words(2));
    let (tokens, lowered) = scanner.scan(text);
    tokens
        .iter()
        .map(|token| String::from_utf8(token.bytes(lowered).to_vec()).unwrap())
        .collect()
}

#[test]
fn splits_like_the_default_token_pattern() {
    assert_eq!(
        words("I saw it: a GREAT_film, 10/10 don't!"),
        ["saw", "it", "great_film", "10", "10", "don"]
    );
    assert!(words("").is_empty());
    assert!(words("a b c !").is_empty());
    assert_eq!(words("no end"), ["no", "end"]);
}

#[test]
fn unicode_words_are_lower_cased_and_measured_in_code_points() {
    assert_eq!(words("Über É été x² ΟΔΟΣ"), ["über", "été", "x²", "οδος"]);
    // The dotted capital I becomes an i and a combining dot, which is not a word character.
    assert_eq!(words("İstanbul"), ["stanbul"]);
}

/// Words by [`Scanner::scan_by_character`].
fn words_by_character(text: &str, shortest: u8) -> Vec<String> {
    let mut scanner = Scanner::new(&Analyzer::words(shortest));
    scanner.scan_by_character(text);
    let lowered = &scanner.lowered;
    let text = |token: &Token| String::from_utf8(token.bytes(lowered).to_vec()).unwrap();
    scanner.tokens.iter().map(text).collect()
}

#[test]
fn both_paths_agree_at_every_offset() {
    let alphabet: Vec<char> = " aZ_9,.bÉé’x²日\u{96}ΟŁ".chars().collect();
    for step in 1..40 {
        let text: String = (0..200)
            .map(|i| alphabet[(i * i / 3 + i * step) % alphabet.len()])
            .collect();
        for shortest in [1, 2] {
            let mut scanner = Scanner::new(&Analyzer::words(shortest));
            for start in (0..130).filter(|&start| text.is_char_boundary(start)) {
                let text = &text[start..];
                let (tokens, lowered) = scanner.scan(text);
                let words: Vec<_> = tokens
                    .iter()
                    .map(|token| String::from_utf8(token.bytes(lowered).to_vec()).unwrap())
                    .collect();
                assert_eq!(words, words_by_character(text, shortest), "{text}");
            }
        }
    }
}

#[test]
fn both_paths_agree_on_ascii_at_every_offset() {
    let text: String = (0..300)
        .map(|i| char::from(b" aZ_9,.b"[(i * i / 3) % 8]))
        .collect();
    for start in 0..130 {
        let ascii = &text[start..];
        let mut unicode = words(&format!("{ascii} é"));
        assert_eq!(unicode.len(), words(ascii).len());
        unicode.retain(|word| word.is_ascii());
        assert_eq!(words(ascii), unicode);
    }
}
