//! Server-sent events, as little of them as answers of models need: the `data` of each event.

/// The data of each complete event in `bytes`; several `data` lines are joined by a line feed, comments
/// and other fields are left out, and so is an event that no blank line ends.
pub fn events(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut blocks: Vec<&str> = text.split("\n\n").collect();
    // behind the last blank line nothing is complete
    blocks.pop();
    blocks.into_iter().filter_map(data).collect()
}

fn data(block: &str) -> Option<String> {
    let line = |line: &str| {
        let value = line.strip_prefix("data:")?;
        Some(value.strip_prefix(' ').unwrap_or(value).to_owned())
    };
    let lines: Vec<String> = block.split('\n').filter_map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_data_between_blank_lines() {
        let bytes = b"\xef\xbb\xbf: hello\n\nevent: x\ndata: a\ndata:b\n\ndata: c\r\n\r\ndata: cut";
        assert_eq!(events(bytes), ["a\nb", "c"]);
    }
}
