//! Splits text into words, quoted texts and braces, and joins those to statements.

use super::unescape;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    Word(&'a [u8]),
    Text(Vec<u8>),
}

/// A statement without its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    pub tokens: Vec<Token<'a>>,
    /// Unparsed text between the braces after it.
    pub body: Option<&'a [u8]>,
}

/// Returns the next statement of `source`, and moves `source` behind it. None at the end, or at an
/// unmatched closing brace.
pub fn statement<'a>(source: &mut &'a [u8]) -> Option<Statement<'a>> {
    let mut tokens = Vec::new();
    loop {
        match next(source)? {
            Lexeme::Token(token) => tokens.push(token),
            Lexeme::End if tokens.is_empty() => {}
            Lexeme::End => return Some(Statement { tokens, body: None }),
            Lexeme::Open => {
                let body = body(source);
                return Some(Statement {
                    tokens,
                    body: Some(body),
                });
            }
            Lexeme::Close => return None,
        }
    }
}

enum Lexeme<'a> {
    Token(Token<'a>),
    End,
    Open,
    Close,
}

/// Returns the text up to the matching closing brace. Nesting uses no stack.
fn body<'a>(source: &mut &'a [u8]) -> &'a [u8] {
    let whole = *source;
    let mut depth = 0_usize;
    loop {
        let before = source.len();
        match next(source) {
            None => return whole,
            Some(Lexeme::Open) => depth = depth.saturating_add(1),
            Some(Lexeme::Close) if depth == 0 => {
                let end = whole.len().saturating_sub(before);
                return whole.get(..end).unwrap_or(whole);
            }
            Some(Lexeme::Close) => depth = depth.saturating_sub(1),
            Some(Lexeme::Token(_) | Lexeme::End) => {}
        }
    }
}

fn next<'a>(source: &mut &'a [u8]) -> Option<Lexeme<'a>> {
    skip_space(source);
    let (first, rest) = source.split_first()?;
    let mark = match first {
        b';' => Some(Lexeme::End),
        b'{' => Some(Lexeme::Open),
        b'}' => Some(Lexeme::Close),
        _ => None,
    };
    if mark.is_some() {
        *source = rest;
        return mark;
    }
    if *first == b'"' {
        let (text, after) = unescape(rest);
        *source = after;
        return Some(Lexeme::Token(Token::Text(text)));
    }
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b";{}\"#".contains(byte);
    let length = source.iter().position(ends).unwrap_or(source.len());
    let (word, after) = source.split_at_checked(length)?;
    *source = after;
    Some(Lexeme::Token(Token::Word(word)))
}

fn skip_space(source: &mut &[u8]) {
    loop {
        *source = source.trim_ascii_start();
        if source.first() != Some(&b'#') {
            return;
        }
        let comment = source
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(source.len());
        *source = source.get(comment..).unwrap_or_default();
    }
}
