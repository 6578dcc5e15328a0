//! A GGUF file field by field, so that a test can write what no writer would.

use nestling::format::gguf::{Gguf, Value};
use nestling::format::{Access, Source};

use super::Tiny;

#[derive(Clone)]
pub struct Raw {
    pub magic: Vec<u8>,
    pub version: u32,
    /// Counts other than the true ones.
    pub n_tensors: Option<u64>,
    pub n_kv: Option<u64>,
    pub kv: Vec<Entry>,
    pub tensors: Vec<Tensor>,
    /// Where data is laid out; what the file says is in its metadata.
    pub alignment: usize,
    /// Bytes after everything else.
    pub tail: Vec<u8>,
}

#[derive(Clone)]
pub struct Entry {
    pub key: Vec<u8>,
    pub type_id: u32,
    pub payload: Vec<u8>,
}

#[derive(Clone)]
pub struct Tensor {
    pub name: Vec<u8>,
    pub dims: Vec<u64>,
    pub type_id: u32,
    /// An offset other than the one that follows from the layout.
    pub offset: Option<u64>,
    pub data: Vec<u8>,
}

impl Raw {
    /// No metadata, no tensors.
    pub fn empty() -> Self {
        Self {
            magic: b"GGUF".to_vec(),
            version: 3,
            n_tensors: None,
            n_kv: None,
            kv: vec![],
            tensors: vec![],
            alignment: 32,
            tail: vec![],
        }
    }

    /// One string, one array, two tensors: the smallest file with every structure.
    pub fn small() -> Self {
        let mut raw = Self::empty();
        raw.set("general.name", "small");
        raw.set("numbers", nestling::format::gguf::Array::from(&[1u32, 2, 3][..]));
        raw.add_tensor("a", &[8], 0, vec![0; 32]);
        raw.add_tensor("b", &[8, 2], 0, vec![0; 64]);
        raw
    }

    /// A valid tiny model, taken apart.
    pub fn of(tiny: &Tiny) -> Self {
        Self::parse(tiny.bytes())
    }

    pub fn parse(bytes: Vec<u8>) -> Self {
        let gguf = Gguf::open(&Source::memory(bytes), Access::Map).expect("a valid file");
        let mut raw = Self::empty();
        raw.alignment = gguf.alignment() as usize;
        for (key, value) in gguf.kv() {
            raw.set(key, value.clone());
        }
        for t in gguf.tensors() {
            let data = gguf.data(t).unwrap().to_vec();
            raw.add_tensor(&t.name, &t.dims, t.ggml_type.id(), data);
        }
        raw
    }

    /// Sets or adds a value, as a writer would.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        let mut payload = vec![];
        put(&mut payload, &value);
        self.set_raw(key.as_bytes(), value.value_type().id(), payload)
    }

    /// Sets or adds a value of any type id and payload.
    pub fn set_raw(&mut self, key: &[u8], type_id: u32, payload: Vec<u8>) -> &mut Self {
        let entry = Entry { key: key.to_vec(), type_id, payload };
        match self.kv.iter_mut().find(|e| e.key == key) {
            Some(e) => *e = entry,
            None => self.kv.push(entry),
        }
        self
    }

    /// Adds an entry even if the key is there.
    pub fn push_raw(&mut self, key: &[u8], type_id: u32, payload: Vec<u8>) -> &mut Self {
        self.kv.push(Entry { key: key.to_vec(), type_id, payload });
        self
    }

    pub fn remove(&mut self, key: &str) -> &mut Self {
        let before = self.kv.len();
        self.kv.retain(|e| e.key != key.as_bytes());
        assert_ne!(before, self.kv.len(), "no key {key}");
        self
    }

    pub fn add_tensor(&mut self, name: &str, dims: &[u64], type_id: u32, data: Vec<u8>) {
        let (name, dims) = (name.as_bytes().to_vec(), dims.to_vec());
        self.tensors.push(Tensor { name, dims, type_id, offset: None, data });
    }

    /// Adds an F32 tensor of zeros.
    pub fn add_zeros(&mut self, name: &str, dims: &[u64]) -> &mut Self {
        let n = dims.iter().product::<u64>() as usize;
        self.add_tensor(name, dims, 0, vec![0; 4 * n]);
        self
    }

    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        let found = self.tensors.iter_mut().find(|t| t.name == name.as_bytes());
        found.unwrap_or_else(|| panic!("no tensor {name}"))
    }

    pub fn remove_tensor(&mut self, name: &str) -> &mut Self {
        let before = self.tensors.len();
        self.tensors.retain(|t| t.name != name.as_bytes());
        assert_ne!(before, self.tensors.len(), "no tensor {name}");
        self
    }

    /// Replaces a tensor by zeros of another shape.
    pub fn reshape(&mut self, name: &str, dims: &[u64]) -> &mut Self {
        let n = dims.iter().product::<u64>() as usize;
        let t = self.tensor(name);
        (t.dims, t.type_id, t.data) = (dims.to_vec(), 0, vec![0; 4 * n]);
        self
    }

    /// The file, and where each structure of it begins.
    pub fn bytes_and_borders(&self) -> (Vec<u8>, Vec<usize>) {
        let mut out = vec![];
        let mut borders = vec![0];
        out.extend(&self.magic);
        borders.push(out.len());
        out.extend(self.version.to_le_bytes());
        borders.push(out.len());
        out.extend(self.n_tensors.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        borders.push(out.len());
        out.extend(self.n_kv.unwrap_or(self.kv.len() as u64).to_le_bytes());
        for e in &self.kv {
            borders.push(out.len());
            put_string(&mut out, &e.key);
            borders.push(out.len());
            out.extend(e.type_id.to_le_bytes());
            borders.push(out.len());
            out.extend(&e.payload);
        }
        let mut next = 0u64;
        for t in &self.tensors {
            borders.push(out.len());
            put_string(&mut out, &t.name);
            borders.push(out.len());
            out.extend((t.dims.len() as u32).to_le_bytes());
            borders.push(out.len());
            t.dims.iter().for_each(|d| out.extend(d.to_le_bytes()));
            borders.push(out.len());
            out.extend(t.type_id.to_le_bytes());
            borders.push(out.len());
            out.extend(t.offset.unwrap_or(next).to_le_bytes());
            next += t.data.len().next_multiple_of(self.alignment) as u64;
        }
        borders.push(out.len());
        for t in &self.tensors {
            out.resize(out.len().next_multiple_of(self.alignment), 0);
            borders.push(out.len());
            out.extend(&t.data);
        }
        out.extend(&self.tail);
        (out, borders)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_and_borders().0
    }
}

pub fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    out.extend((string.len() as u64).to_le_bytes());
    out.extend(string);
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => out.extend(v.to_le_bytes()),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push((*v).into()),
        Value::String(v) => put_string(out, v.as_bytes()),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
        Value::Array(a) => {
            out.extend(a.element().id().to_le_bytes());
            out.extend((a.len() as u64).to_le_bytes());
            out.extend(a.bytes());
        }
    }
}
