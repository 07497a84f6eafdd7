//! The bytes of a file, in pages that files share until one of them writes.

use std::sync::Arc;

const PAGE: usize = 4096;

/// The bytes of a file.
#[derive(Clone, Default)]
pub(crate) struct Content {
    pages: Vec<Arc<[u8; PAGE]>>,
    len: usize,
}

impl Content {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Fills `into` from `at` on; gives how many bytes there were, the rest is zero.
    pub(crate) fn read(&self, at: usize, into: &mut [u8]) -> usize {
        into.fill(0);
        let there = self.len.saturating_sub(at).min(into.len());
        let mut done = 0;
        while done < there {
            let (page, offset) = ((at + done) / PAGE, (at + done) % PAGE);
            let part = (PAGE - offset).min(there - done);
            into[done..done + part].copy_from_slice(&self.pages[page][offset..offset + part]);
            done += part;
        }
        there
    }

    /// Writes `bytes` at `at`; a gap before it is zero.
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.grow(at + bytes.len());
        let mut done = 0;
        while done < bytes.len() {
            let (page, offset) = ((at + done) / PAGE, (at + done) % PAGE);
            let part = (PAGE - offset).min(bytes.len() - done);
            Arc::make_mut(&mut self.pages[page])[offset..offset + part]
                .copy_from_slice(&bytes[done..done + part]);
            done += part;
        }
    }

    fn grow(&mut self, len: usize) {
        if len > self.len {
            self.len = len;
            let zero = Arc::new([0; PAGE]);
            self.pages.resize(len.div_ceil(PAGE), zero);
        }
    }

    /// Cuts the file to `len` bytes.
    pub(crate) fn cut(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.len = len;
        self.pages.truncate(len.div_ceil(PAGE));
        // What lay behind must not come back when the file grows again.
        if !len.is_multiple_of(PAGE)
            && let Some(last) = self.pages.last_mut()
        {
            Arc::make_mut(last)[len % PAGE..].fill(0);
        }
    }

    /// Takes over from `other` the pages that `[at, at + len)` touches.
    pub(crate) fn follow(&mut self, other: &Self, at: usize, len: usize) {
        self.grow((at + len).min(other.len));
        for page in at / PAGE..(at + len).div_ceil(PAGE).min(other.pages.len()).min(self.pages.len()) {
            self.pages[page] = other.pages[page].clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_over_pages_and_gaps_read_back() {
        let mut content = Content::default();
        content.write(PAGE * 2 - 3, b"abcdef");
        let mut into = [9; 10];
        assert_eq!(content.read(PAGE * 2 - 5, &mut into), 8);
        assert_eq!(&into, b"\0\0abcdef\0\0");
        let shared = content.clone();
        content.write(PAGE * 2, b"X");
        content.cut(PAGE * 2 + 1);
        assert_eq!((content.len(), shared.len()), (PAGE * 2 + 1, PAGE * 2 + 3));
        content.write(PAGE * 2 + 4, b"Y");
        let mut into = [9; 5];
        content.read(PAGE * 2, &mut into);
        assert_eq!(&into, b"X\0\0\0Y");
        shared.read(PAGE * 2 - 3, &mut into);
        assert_eq!(&into, b"abcde");
    }
}
