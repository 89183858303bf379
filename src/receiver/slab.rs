//! Connections by a small stable index, which is also their readiness token.

use std::ops::Index;
use std::ops::IndexMut;

/// A list whose items keep their index; free indices are used again.
pub(crate) struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slab<T> {
    pub fn new() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }

    /// The index that the next insert takes.
    pub fn next_index(&self) -> usize {
        self.free.last().copied().unwrap_or(self.items.len())
    }

    pub fn insert(&mut self, item: T) {
        match self.free.pop() {
            Some(index) => self.items[index] = Some(item),
            None => self.items.push(Some(item)),
        }
    }

    pub fn remove(&mut self, index: usize) {
        if self.items[index].take().is_some() {
            self.free.push(index);
        }
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.items.get_mut(index).and_then(Option::as_mut)
    }

    pub fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The indices in use, rising.
    pub fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.items.iter().enumerate().filter(|(_, item)| item.is_some()).map(|(index, _)| index)
    }
}

impl<T> Index<usize> for Slab<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        self.items[index]
            .as_ref()
            .expect("indices come from `indices` or were checked by `get_mut`")
    }
}

impl<T> IndexMut<usize> for Slab<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        self.items[index]
            .as_mut()
            .expect("indices come from `indices` or were checked by `get_mut`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_stable_and_used_again() {
        let mut slab = Slab::new();
        slab.insert('a');
        slab.insert('b');
        slab.remove(0);
        slab.remove(0);
        assert_eq!((slab.len(), slab.next_index()), (1, 0));
        assert_eq!(slab.get_mut(0), None);
        slab.insert('c');
        assert_eq!((slab[0], slab[1], slab.next_index()), ('c', 'b', 2));
        assert_eq!(slab.indices().collect::<Vec<_>>(), [0, 1]);
    }
}
