//! Licence expressions as crates write them (SPDX 2.3 annex D, and the older `A/B` for `A OR B`).
//!
//! In scope: whether an expression can be met with allowed licences only. Out of scope: licence texts.

/// Whether `expression` can be met by licences that `is_allowed` accepts. What cannot be read is not met.
pub fn is_met(expression: &str, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = either(&mut rest, is_allowed);
    rest.is_empty() && met == Some(true)
}

/// `a OR b`, the weakest operator.
fn either(words: &mut &[&str], is_allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut met = both(words, is_allowed)?;
    while take(words, "OR") {
        met |= both(words, is_allowed)?;
    }
    Some(met)
}

/// `a AND b`.
fn both(words: &mut &[&str], is_allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut met = one(words, is_allowed)?;
    while take(words, "AND") {
        met &= one(words, is_allowed)?;
    }
    Some(met)
}

/// A licence, with its exception if it has one, or an expression in parentheses.
fn one(words: &mut &[&str], is_allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    if take(words, "(") {
        let met = either(words, is_allowed)?;
        return take(words, ")").then_some(met);
    }
    let (name, rest) = words.split_first()?;
    if matches!(*name, "OR" | "AND" | "WITH" | ")") {
        return None;
    }
    *words = rest;
    if take(words, "WITH") {
        let (exception, rest) = words.split_first()?;
        *words = rest;
        return Some(is_allowed(&format!("{name} WITH {exception}")));
    }
    Some(is_allowed(name))
}

fn take(words: &mut &[&str], expected: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == expected => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_only_by_allowed_licences() {
        let allowed = |name: &str| matches!(name, "MIT" | "ISC" | "Apache-2.0 WITH LLVM-exception");
        for (expression, met) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-3.0-only/MIT", true),
            ("MIT AND GPL-3.0-only", false),
            ("ISC AND (GPL-3.0-only OR MIT)", true),
            ("MIT OR GPL-3.0-only AND AGPL-3.0-only", true),
            ("(MIT OR GPL-3.0-only) AND AGPL-3.0-only", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT ISC", false),
        ] {
            assert_eq!(is_met(expression, &allowed), met, "{expression}");
        }
    }
}
