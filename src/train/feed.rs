//! The data of a training, as the rows of each step.

use crate::cancel::CancelToken;
use crate::dataset::{Dataset, Encoded, Encoder, EncodingReport, Row, Sequence, order, pack};
use crate::error::{Result, bail};
use crate::model::Model;
use crate::options::TrainerOptions;
use crate::tokenizer::Tokenizer;

/// Row length that `n_ctx=auto` does not exceed: attention over a row takes its square.
const AUTO_MAX: usize = 2048;

/// Training and validation data, encoded.
pub(super) struct Feed {
    encoder: Encoder,
    data: Dataset,
    digest: String,
    sequences: Vec<Sequence>,
    /// The epoch that the sequences are of, where each has its own changes.
    epoch: u64,
    /// The order of an epoch's examples, and the epoch.
    order: (u64, Vec<usize>),
    report: EncodingReport,
    validation: Vec<Row>,
    n_ctx: usize,
    batch_size: usize,
    micro_batch: usize,
    packing: bool,
    seed: u64,
    total_steps: u64,
}

/// The rows of one step.
pub(super) struct Batch {
    pub rows: Vec<Row>,
    /// Where the next step begins: epoch, and examples of it done.
    pub next: (u64, u64),
}

impl Feed {
    pub(super) fn new(
        model: &Model,
        data: &Dataset,
        validation: Option<&Dataset>,
        o: &TrainerOptions,
    ) -> Result<Self> {
        let (never, seed) = (CancelToken::new(), o.seed.unsigned_abs());
        let digest = data.digest();
        let (data, validation) = match validation {
            None if o.validation_fraction > 0.0 => {
                let (train, held_out) = data.split(o.validation_fraction, seed)?;
                (train, Some(held_out))
            }
            given => (data.clone(), given.cloned()),
        };
        let tokenizer = Tokenizer::new(model);
        let limit = model.info().n_ctx_train.max(8) as usize;
        let most = match o.n_ctx.value() {
            Some(n) if n as usize > limit => bail!(
                InvalidOption,
                "trainer option n_ctx: {n} tokens are more than the {limit} that the model was made for"
            ),
            Some(n) => n as usize,
            None => limit.min(AUTO_MAX),
        };
        let mut encoder = Encoder::new(&tokenizer, most, &o.encoding)?;
        let mut encoded = encoder.encode_all(&data, Some(0), &never)?;
        let n_ctx = match o.n_ctx.value() {
            Some(_) => most,
            // Random changes make examples longer or shorter in each epoch: their own length counts.
            None if encoder.augments() => longest(&encoder.encode_all(&data, None, &never)?),
            None => longest(&encoded),
        };
        let n_ctx = n_ctx.clamp(8.min(limit), most);
        if n_ctx < most {
            encoder = Encoder::new(&tokenizer, n_ctx, &o.encoding)?;
            if encoder.augments() {
                encoded = encoder.encode_all(&data, Some(0), &never)?;
            }
        }
        let batch_size = o.batch_size.max(1) as usize;
        let n = encoded.sequences.len();
        let per_epoch = n.div_ceil(batch_size) as u64;
        let steps = per_epoch.saturating_mul(o.epochs.unsigned_abs());
        let most = o.max_steps.value().map_or(u64::MAX, i64::unsigned_abs);
        let mut feed = Self {
            encoder,
            data,
            digest,
            sequences: encoded.sequences,
            epoch: 0,
            order: (0, order(n, o.seed.unsigned_abs(), 0)),
            report: encoded.report,
            validation: Vec::new(),
            n_ctx,
            batch_size,
            micro_batch: o.micro_batch.value().map_or(usize::MAX, |n| n.max(1) as usize),
            packing: o.packing,
            seed,
            total_steps: steps.min(most),
        };
        if let Some(validation) = validation {
            feed.validation = feed.rows_of(&validation, &never)?;
        }
        Ok(feed)
    }

    pub(super) fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    pub(super) fn report(&self) -> &EncodingReport {
        &self.report
    }

    pub(super) fn total_steps(&self) -> u64 {
        self.total_steps
    }

    pub(super) fn has_validation(&self) -> bool {
        !self.validation.is_empty()
    }

    pub(super) fn validation(&self) -> &[Row] {
        &self.validation
    }

    /// The rows of a dataset to measure with.
    pub(super) fn rows_of(&self, data: &Dataset, cancel: &CancelToken) -> Result<Vec<Row>> {
        let encoded = self.encoder.encode_all(data, None, cancel)?;
        self.rows(&encoded.sequences.iter().collect::<Vec<_>>())
    }

    /// The rows of the step that begins after `cursor` examples of an epoch.
    pub(super) fn batch(&mut self, epoch: u64, cursor: u64, cancel: &CancelToken) -> Result<Batch> {
        if self.encoder.augments() && self.epoch != epoch {
            self.sequences = self.encoder.encode_all(&self.data, Some(epoch), cancel)?.sequences;
            self.epoch = epoch;
        }
        if self.order.0 != epoch {
            self.order = (epoch, order(self.sequences.len(), self.seed, epoch));
        }
        let order = &self.order.1;
        let start = usize::try_from(cursor).unwrap_or(usize::MAX);
        let end = start.saturating_add(self.batch_size).min(order.len());
        let chosen = order.get(start..end).unwrap_or_default();
        let sequences: Vec<_> = chosen.iter().filter_map(|i| self.sequences.get(*i)).collect();
        let ends_epoch = end >= order.len();
        Ok(Batch {
            rows: self.rows(&sequences)?,
            next: if ends_epoch { (epoch + 1, 0) } else { (epoch, end as u64) },
        })
    }

    fn rows(&self, sequences: &[&Sequence]) -> Result<Vec<Row>> {
        if !self.packing {
            return Ok(sequences.iter().enumerate().map(|(i, s)| Row::single(i, s)).collect());
        }
        let groups = sequences.chunks(self.micro_batch.min(sequences.len().max(1)));
        let rows = groups.map(|group| pack(group, self.n_ctx)).collect::<Result<Vec<_>>>()?;
        Ok(rows.into_iter().flatten().collect())
    }
}

/// The tokens of the longest example.
fn longest(encoded: &Encoded) -> usize {
    encoded.sequences.iter().map(|s| s.tokens.len()).max().unwrap_or(0)
}
