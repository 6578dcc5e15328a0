//! Numbers about a session.

use serde::Serialize;

/// Memory, and the numbers of the last generation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct SessionStats {
    /// The context length in tokens.
    pub n_ctx: u32,
    /// CPU threads of the last step.
    pub n_threads: u32,
    /// Bytes of the KV cache.
    pub kv_cache_bytes: u64,
    /// Bytes of the buffers to compute with.
    pub compute_bytes: u64,
    /// Tokens of the last prompt.
    pub prompt_tokens: u64,
    /// Of these: reused from the cache.
    pub reused_tokens: u64,
    /// Tokens of the last answer.
    pub generated_tokens: u64,
    /// Seconds spent on the prompt.
    pub prompt_seconds: f64,
    /// Seconds from the first `next` to the first token: the prompt and one choice.
    pub first_token_seconds: f64,
    /// Seconds spent on the answer after its first token.
    pub generation_seconds: f64,
}

impl SessionStats {
    /// Evaluated prompt tokens per second; 0 if nothing was evaluated.
    pub fn prompt_rate(&self) -> f64 {
        rate(self.prompt_tokens.saturating_sub(self.reused_tokens), self.prompt_seconds)
    }

    /// Generated tokens per second after the first; 0 for fewer than two.
    pub fn generation_rate(&self) -> f64 {
        rate(self.generated_tokens.saturating_sub(1), self.generation_seconds)
    }
}

fn rate(tokens: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 }
}
