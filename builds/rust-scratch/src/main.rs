//! Counts letters as a reader does, beside code points and bytes.
use unicode_segmentation::UnicodeSegmentation;

fn main() {
    for text in std::env::args().skip(1) {
        let letters = text.graphemes(true).count();
        let points = text.chars().count();
        println!("{text}: {letters} letters, {points} code points, {} bytes", text.len());
    }
}
