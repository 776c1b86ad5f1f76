//! Counts of many buckets.

use alloc::vec::Vec;

/// Buckets of a page. A page is a cache line.
const PAGE_BUCKETS: usize = 16;
/// Enough for the pages of values that differ by a factor of 20,000.
const HINTS: usize = 32;

/// Counts of buckets, in pages of neighbours. A page without counts takes no memory.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    /// Entries of the directory, found by the low bits of the page's number. To search the directory for each value
    /// would take as long as all the rest.
    hints: [Entry; HINTS],
    /// Which pages there are, in order of their numbers.
    directory: Vec<Entry>,
    /// The low 32 bits of the counts.
    pages: Vec<[u32; PAGE_BUCKETS]>,
    /// Keys, and how often their counts have exceeded 32 bits. Almost always empty.
    carries: Vec<(i32, u32)>,
}

/// A page: the number of its first bucket divided by [`PAGE_BUCKETS`], and its index in `pages`.
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: i16,
    index: u16,
}

impl Entry {
    /// The entry of no page.
    const NONE: Self = Self { number: i16::MAX, index: 0 };
}

impl Default for Pages {
    fn default() -> Self {
        Self { hints: [Entry::NONE; HINTS], directory: Vec::new(), pages: Vec::new(), carries: Vec::new() }
    }
}

impl Pages {
    #[inline]
    pub(super) fn add(&mut self, key: i32, count: u64) {
        let index = self.page(key);
        let place = key.rem_euclid(PAGE_BUCKETS as i32) as usize;
        let bucket = self.pages.get_mut(index).and_then(|page| page.get_mut(place)).expect("`page` returns a page");
        let (low, carry) = bucket.overflowing_add(count as u32);
        *bucket = low;
        let carries = (count >> u32::BITS) + u64::from(carry);
        if carries > 0 {
            self.carry(key, carries);
        }
    }

    /// The index of the page of this bucket. Adds the page if it is missing.
    #[inline]
    fn page(&mut self, key: i32) -> usize {
        let number = key.div_euclid(PAGE_BUCKETS as i32) as i16;
        let hint = self.hints.get(number as usize % HINTS).expect("a remainder is below the divisor");
        if hint.number == number { usize::from(hint.index) } else { self.search(number) }
    }

    fn search(&mut self, number: i16) -> usize {
        let entry = match self.directory.binary_search_by_key(&number, |entry| entry.number) {
            Ok(found) => *self.directory.get(found).expect("the search found it"),
            Err(place) => {
                let index = u16::try_from(self.pages.len()).expect("there are about 10,200 pages at most");
                self.pages.push([0; PAGE_BUCKETS]);
                let entry = Entry { number, index };
                self.directory.insert(place, entry);
                entry
            }
        };
        *self.hints.get_mut(number as usize % HINTS).expect("a remainder is below the divisor") = entry;
        usize::from(entry.index)
    }

    #[cold]
    fn carry(&mut self, key: i32, carries: u64) {
        let place = self.carries.partition_point(|(other, _)| *other < key);
        if self.carries.get(place).is_none_or(|(other, _)| *other != key) {
            self.carries.insert(place, (key, 0));
        }
        if let Some((_, sum)) = self.carries.get_mut(place) {
            *sum = sum.saturating_add(u32::try_from(carries).unwrap_or(u32::MAX));
        }
    }

    /// Calls `visit` with keys and counts, in order of the keys.
    pub(super) fn for_each(&self, mut visit: impl FnMut(i32, u64)) {
        let mut carries = self.carries.iter().peekable();
        for entry in &self.directory {
            let first = i32::from(entry.number) * PAGE_BUCKETS as i32;
            let page = self.pages.get(usize::from(entry.index)).into_iter().flatten();
            for (key, low) in (first..).zip(page) {
                let carry = carries.next_if(|(other, _)| *other == key).map_or(0, |(_, carry)| u64::from(*carry));
                let count = carry << u32::BITS | u64::from(*low);
                if count > 0 {
                    visit(key, count);
                }
            }
        }
    }

    /// The memory of these pages in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.directory.capacity() * size_of::<Entry>()
            + self.pages.capacity() * size_of::<[u32; PAGE_BUCKETS]>()
            + self.carries.capacity() * size_of::<(i32, u32)>()
    }
}
