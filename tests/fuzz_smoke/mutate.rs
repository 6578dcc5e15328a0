//! Changes to a valid model that keep its shape: most reach past the parser.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::support::{Family, Raw, Tiny};

/// Case `index` of a run: always the same bytes for the same seed.
pub fn case(seed: u64, index: u64, models: &[Raw]) -> Vec<u8> {
    let mut m = Mutator(Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_mul(1 << 32) ^ index));
    let mut raw = models[m.below(models.len())].clone();
    for _ in 0..=m.below(3) {
        m.mutate(&mut raw);
    }
    let mut bytes = raw.bytes();
    // A few cases are damaged as bytes, too.
    if m.below(8) == 0 {
        for _ in 0..=m.below(4) {
            let at = m.below(bytes.len().min(16_384));
            bytes[at] = m.0.next_u32() as u8;
        }
    }
    if m.below(40) == 0 {
        bytes.truncate(m.below(bytes.len()));
    }
    bytes
}

/// The valid models that cases are made from.
pub fn models() -> Vec<Raw> {
    Family::ALL.iter().map(|f| Raw::of(&Tiny::new(*f))).collect()
}

struct Mutator(Xoshiro256PlusPlus);

impl Mutator {
    fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n.max(1) as u64) as usize
    }

    fn number(&mut self, old: u64) -> u64 {
        const ODD: [u64; 14] =
            [0, 1, 2, 3, 7, 8, 16, 31, 64, 255, 65_536, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
        match self.below(6) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_sub(1),
            2 => old.wrapping_mul(2),
            3 => old / 2,
            4 => self.0.next_u64(),
            _ => ODD[self.below(ODD.len())],
        }
    }

    fn mutate(&mut self, raw: &mut Raw) {
        match self.below(12) {
            0..=4 => self.value(raw),
            5 => self.entry(raw),
            6..=9 => self.tensor(raw),
            10 => self.table(raw),
            _ => self.header(raw),
        }
    }

    /// A metadata value: another number, length, element or letter.
    fn value(&mut self, raw: &mut Raw) {
        let i = self.below(raw.kv.len());
        let Some(e) = raw.kv.get_mut(i) else { return };
        let payload = &mut e.payload;
        if e.type_id == 9 && payload.len() > 12 {
            return self.array(payload);
        }
        if e.type_id == 8 && payload.len() > 8 {
            let at = 8 + self.below(payload.len() - 8);
            payload[at] = self.0.next_u32() as u8;
            return;
        }
        let mut old = [0; 8];
        let n = payload.len().min(8);
        old[..n].copy_from_slice(&payload[..n]);
        let mut new = self.number(u64::from_le_bytes(old)).to_le_bytes();
        if e.type_id == 6 && self.below(2) == 0 {
            let odd = [0.0, -1.0, f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e9];
            new[..4].copy_from_slice(&odd[self.below(odd.len())].to_le_bytes());
        }
        payload[..n].copy_from_slice(&new[..n]);
    }

    fn array(&mut self, payload: &mut [u8]) {
        match self.below(8) {
            0 => payload[0] = self.below(14) as u8,
            1 => {
                let old = u64::from_le_bytes(payload[4..12].try_into().unwrap());
                let new = self.number(old);
                payload[4..12].copy_from_slice(&new.to_le_bytes());
            }
            // Repeat a part elsewhere: two equal tokens, a merge of other pieces.
            2 => {
                let n = 1 + self.below(16.min(payload.len() - 12));
                let from = 12 + self.below(payload.len() - 11 - n);
                let to = 12 + self.below(payload.len() - 11 - n);
                payload.copy_within(from..from + n, to);
            }
            _ => {
                let at = 12 + self.below(payload.len() - 12);
                payload[at] = self.0.next_u32() as u8;
            }
        }
    }

    /// A metadata entry: gone, doubled, of another type, under another key.
    fn entry(&mut self, raw: &mut Raw) {
        let (i, j) = (self.below(raw.kv.len()), self.below(raw.kv.len()));
        if raw.kv.is_empty() {
            return;
        }
        match self.below(5) {
            0 | 1 => drop(raw.kv.remove(i)),
            2 => {
                let copy = raw.kv[i].clone();
                raw.kv.push(copy);
            }
            3 => raw.kv[i].type_id = self.below(14) as u32,
            _ => {
                let payload = raw.kv[j].payload.clone();
                (raw.kv[i].type_id, raw.kv[i].payload) = (raw.kv[j].type_id, payload);
            }
        }
    }

    /// One tensor: its shape, type, data, name or place.
    fn tensor(&mut self, raw: &mut Raw) {
        let (i, j) = (self.below(raw.tensors.len()), self.below(raw.tensors.len()));
        if raw.tensors.is_empty() {
            return;
        }
        let other = raw.tensors[j].name.clone();
        let t = &mut raw.tensors[i];
        match self.below(10) {
            0 => {
                let d = self.below(t.dims.len());
                if let Some(dim) = t.dims.get(d).copied() {
                    t.dims[d] = self.number(dim);
                }
            }
            1 => t.dims.reverse(),
            2 => t.dims.push(1 + self.below(2) as u64),
            3 => t.type_id = self.below(45) as u32,
            // Another type with data to match.
            4..=6 => self.retype(t),
            7 => {
                let at = self.below(t.data.len());
                let n = self.below(64).min(t.data.len().saturating_sub(at));
                self.0.fill_bytes(&mut t.data[at..at + n]);
            }
            8 => t.name = other,
            _ => t.offset = Some(self.number(0)),
        }
    }

    fn retype(&mut self, t: &mut crate::support::raw::Tensor) {
        use nestling::format::gguf::GgmlType;
        let ggml_type = GgmlType::ALL[self.below(GgmlType::ALL.len())];
        let n = t.dims.iter().fold(1u64, |n, d| n.saturating_mul(*d));
        if n < 1 << 20 {
            t.type_id = ggml_type.id();
            t.data = vec![0; (n.div_ceil(ggml_type.block_size()) * ggml_type.type_size()) as usize];
            self.0.fill_bytes(&mut t.data);
        }
    }

    /// The tensor table: one gone, one doubled, two exchanged.
    fn table(&mut self, raw: &mut Raw) {
        let (i, j) = (self.below(raw.tensors.len()), self.below(raw.tensors.len()));
        if raw.tensors.is_empty() {
            return;
        }
        match self.below(4) {
            0 => drop(raw.tensors.remove(i)),
            1 => {
                let copy = raw.tensors[i].clone();
                raw.tensors.push(copy);
            }
            2 => raw.tensors.swap(i, j),
            _ => raw.tensors[i].dims = raw.tensors[j].dims.clone(),
        }
    }

    fn header(&mut self, raw: &mut Raw) {
        match self.below(5) {
            0 => raw.version = self.below(5) as u32,
            1 => raw.n_kv = Some(self.number(raw.kv.len() as u64)),
            2 => raw.n_tensors = Some(self.number(raw.tensors.len() as u64)),
            3 => {
                let alignment = 1u32 << self.below(18);
                raw.set("general.alignment", alignment);
                raw.alignment = alignment as usize;
            }
            _ => raw.tail = vec![0xa5; self.below(300)],
        }
    }
}
