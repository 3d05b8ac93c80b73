//! The fenced blocks of a page, in order.

use std::path::PathBuf;

/// One fenced block: where it begins, what is written behind its fence, and its text.
#[derive(Debug)]
pub struct Block {
    pub line: usize,
    pub language: String,
    pub words: Vec<String>,
    pub text: String,
}

impl Block {
    pub fn is(&self, language: &str, word: &str) -> bool {
        self.language == language && (word.is_empty() || self.words.iter().any(|found| found == word))
    }

    /// The value of `name=value` behind the fence.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

pub fn page(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (index, line) in page.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if is_inside => is_inside = false,
            Some(info) => {
                let mut words = info.split_whitespace().map(str::to_owned);
                let language = words.next().unwrap_or_default();
                blocks.push(Block { line: index + 1, language, words: words.collect(), text: String::new() });
                is_inside = true;
            }
            None if is_inside => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!is_inside, "a fence is not closed");
    blocks
}

/// The commands of a shell block, without comments and continuation lines.
pub fn commands(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with([' ', '#'])).collect()
}
