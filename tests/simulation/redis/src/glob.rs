//! Patterns of names: `*`, `?`, `[abc]`, `[^a-z]` and `\` before what means itself.

pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
    match first {
        b'*' => (0..=name.len()).any(|from| matches(rest, &name[from..])),
        b'?' => name.split_first().is_some_and(|(_, name)| matches(rest, name)),
        b'[' => name.split_first().is_some_and(|(byte, name)| {
            let (is_in, rest) = is_in_class(rest, *byte);
            is_in && matches(rest, name)
        }),
        b'\\' if !rest.is_empty() => is_next(rest[0], &rest[1..], name),
        byte => is_next(*byte, rest, name),
    }
}

fn is_next(byte: u8, pattern: &[u8], name: &[u8]) -> bool {
    name.split_first().is_some_and(|(first, name)| *first == byte && matches(pattern, name))
}

/// Is it one of those named after `[`? And what follows the `]`.
fn is_in_class(class: &[u8], byte: u8) -> (bool, &[u8]) {
    let (is_negated, mut class) = match class {
        [b'^', class @ ..] => (true, class),
        class => (false, class),
    };
    let mut is_in = false;
    loop {
        class = match class {
            [] => break,
            [b']', rest @ ..] => {
                class = rest;
                break;
            }
            [b'\\', one, rest @ ..] => {
                is_in |= *one == byte;
                rest
            }
            [first, b'-', last, rest @ ..] => {
                is_in |= (*first.min(last)..=*first.max(last)).contains(&byte);
                rest
            }
            [one, rest @ ..] => {
                is_in |= *one == byte;
                rest
            }
        };
    }
    (is_in != is_negated, class)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn names_match_their_patterns() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("p:e:{*}", "p:e:{12}", true),
            ("p:e:{*}", "p:l:{12}", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[ab]c", "bc", true),
            ("[^ab]c", "bc", false),
            ("[a-c]", "b", true),
            ("[c-a]", "b", true),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
