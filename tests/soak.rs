//! Thousands of sessions of random shapes, prompts and cancels in one process: nothing crashes, and
//! neither memory nor descriptors grow with their number.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![cfg(target_os = "linux")]

mod support;

use nestling::Code;
use nestling::cancel::CancelToken;
use nestling::model::Model;
use nestling::options::{Auto, KvType, SessionOptions};
use nestling::session::Session;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use support::Family;
use support::run::{greedy, ids, tiny, tokens};

const SESSIONS: usize = 5000;
/// The first ones fill pools and caches, and show the allocator how large things are.
const WARM: usize = 2000;

/// Bytes of memory that this process holds.
fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

struct Chance(Xoshiro256PlusPlus);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// One session: a prompt in one to three parts, some tokens, perhaps a fork, perhaps a cancel.
fn live(model: &Model, chance: &mut Chance) {
    let options = SessionOptions {
        n_ctx: Auto::Value(chance.of(&[32, 64, 100, 128])),
        n_ubatch: chance.of(&[5, 32, 64, 128, 512]),
        n_threads: Auto::Value(chance.of(&[1, 1, 1, 1, 1, 1, 1, 2])),
        kv_type: chance.of(&[KvType::F16, KvType::F16, KvType::F32, KvType::Bf16]),
        ..SessionOptions::default()
    };
    let mut session = Session::new(model, &options).unwrap();
    let n_vocab = model.info().tokenizer.n_vocab as usize;
    let cancel = CancelToken::new();
    let cancels = chance.below(10) == 0;
    if cancels {
        cancel.trigger();
    }
    let room = session.n_ctx() - 8;
    let prompt = ids(1 + chance.below(room), n_vocab, chance.below(1 << 30) as u64);
    match session.evaluate(&prompt, &cancel) {
        Ok(done) => assert_eq!(done.evaluated, prompt.len()),
        Err(error) => assert!(cancels && error.code() == Code::Cancelled, "{error}"),
    }
    // A cancelled session is as good as any.
    let n = chance.below(4) as i64 + 1;
    let mut fork = (chance.below(8) == 0).then(|| session.fork().unwrap());
    for session in [Some(&mut session), fork.as_mut()].into_iter().flatten() {
        assert_eq!(tokens(session, prompt.clone(), &greedy(n)).len(), n as usize);
    }
}

/// The allocator of glibc raises its thresholds with what it sees freed, and keeps the more of it: what
/// it holds then wanders by megabytes. With fixed ones it gives back what is large, at once.
const EXACT: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "262144"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];

#[test]
fn memory_and_descriptors_do_not_grow_with_sessions() {
    if std::env::var_os(EXACT[0].0).is_none() {
        // glibc reads them before `main`: this test again, in a process of its own.
        let again = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory_and_descriptors_do_not_grow_with_sessions", "--nocapture"])
            .envs(EXACT)
            .status()
            .unwrap();
        assert!(again.success(), "{again}");
        return;
    }
    let models: Vec<Model> = Family::ALL.into_iter().map(tiny).collect();
    let mut chance = Chance(Xoshiro256PlusPlus::seed_from_u64(11));
    let (mut points, mut open) = (Vec::new(), 0);
    for i in 0..SESSIONS {
        let model = chance.below(models.len());
        live(&models[model], &mut chance);
        if i == WARM {
            open = descriptors();
        }
        if i >= WARM {
            points.push((i as f64, resident()));
        }
    }
    assert_eq!(descriptors(), open, "descriptors");
    // The slope of the line through all points (least squares).
    let n = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>()
        / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    println!("{slope:.0} bytes a session, {:.0} MiB", y / (1 << 20) as f64);
    assert!(slope < 1024.0, "{slope:.0} bytes a session");
}
