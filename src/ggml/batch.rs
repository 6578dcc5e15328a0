//! A batch of tokens of one sequence, in the engine's layout, with buffers that are reused.

use llama_cpp_sys_2 as sys;

/// Room for a micro-batch.
#[derive(Default)]
pub(super) struct Batch {
    tokens: Vec<i32>,
    positions: Vec<i32>,
    n_seq: Vec<i32>,
    seq: Box<[i32; 1]>,
    /// The ids of several sequences, which `seq_pointers` points to.
    seqs: Vec<i32>,
    seq_pointers: Vec<*mut i32>,
    outputs: Vec<i8>,
}

impl Batch {
    /// Fills the batch: `tokens` at positions from `start`, logits for those that `wanted` names by their index.
    pub(super) fn fill(&mut self, tokens: &[i32], start: i32, wanted: impl Fn(usize) -> bool) {
        let n = tokens.len();
        self.tokens.clear();
        self.tokens.extend_from_slice(tokens);
        self.positions.clear();
        self.positions.extend((start..).take(n));
        self.n_seq.resize(n, 1);
        self.seq_pointers.clear();
        self.seq_pointers.resize(n, self.seq.as_mut_ptr());
        self.outputs.clear();
        self.outputs.extend((0..n).map(|i| i8::from(wanted(i))));
    }

    /// Fills the batch with whole texts, each a sequence of its own from position 0, with outputs for all tokens.
    pub(super) fn fill_texts(&mut self, texts: &[&[i32]]) {
        self.seqs.clear();
        self.seqs.extend((0i32..).take(texts.len()));
        self.tokens.clear();
        self.positions.clear();
        self.seq_pointers.clear();
        for (text, seq) in texts.iter().zip(&mut self.seqs) {
            self.tokens.extend_from_slice(text);
            self.positions.extend((0..).take(text.len()));
            self.seq_pointers.extend(std::iter::repeat_n(std::ptr::from_mut(seq), text.len()));
        }
        self.n_seq.resize(self.tokens.len(), 1);
        self.outputs.clear();
        self.outputs.resize(self.tokens.len(), 1);
    }

    /// For how many of its tokens logits are wanted.
    pub(super) fn n_outputs(&self) -> usize {
        self.outputs.iter().filter(|&&wanted| wanted != 0).count()
    }

    /// Whether logits were wanted for the token at this index.
    pub(super) fn has_output(&self, index: usize) -> bool {
        self.outputs.get(index).is_some_and(|&wanted| wanted != 0)
    }

    /// The engine's view; valid until the batch is changed or dropped.
    pub(super) fn view(&mut self) -> sys::llama_batch {
        sys::llama_batch {
            n_tokens: self.tokens.len() as i32,
            token: self.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.n_seq.as_mut_ptr(),
            seq_id: self.seq_pointers.as_mut_ptr(),
            logits: self.outputs.as_mut_ptr(),
        }
    }
}
