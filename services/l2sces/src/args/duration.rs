use std::time::Duration;

/// Parses a number with a unit: `500ms`, `60s`, `5m`, `1h`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let refused = || "must be a whole number with ms, s, m or h after it, such as 60s".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| refused())?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        _ => return Err(refused()),
    };
    Ok(unit * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_whole_numbers_of_known_units() {
        let cases =
            [("500ms", 500), ("60s", 60_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0)];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "60", "s", "1.5s", "-1s", "1 s", "1d", "99999999999s"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
