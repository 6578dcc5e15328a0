//! Bringing a large file to the disk while it is still being written.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes that are written before they are brought to the disk.
const STEP: usize = 16 << 20;

/// A file whose bytes another thread brings to the disk, so that little is left to wait for at its end.
pub(crate) struct Flushing<'a> {
    file: &'a mut File,
    /// Bytes written since the other thread was last asked.
    waiting: usize,
    other: Option<(SyncSender<()>, JoinHandle<io::Result<()>>)>,
}

impl<'a> Flushing<'a> {
    pub fn new(file: &'a mut File) -> Self {
        Self { file, waiting: 0, other: None }
    }

    /// The file, for one who reads what was written.
    pub fn file(&self) -> &File {
        self.file
    }

    /// Brings everything to the disk.
    pub fn finish(mut self) -> io::Result<()> {
        // The system tells of a failure once: what the other thread was told counts.
        if let Some((ask, thread)) = self.other.take() {
            drop(ask);
            thread.join().map_err(|_| io::Error::other("the thread that flushes ended"))??;
        }
        self.file.sync_all()
    }

    fn ask(&mut self) -> io::Result<()> {
        if self.other.is_none() {
            let file = self.file.try_clone()?;
            let (ask, asked) = sync_channel(1);
            let thread = std::thread::Builder::new()
                .name("nestling-flush".into())
                .spawn(move || flush(&file, &asked))?;
            self.other = Some((ask, thread));
        }
        // When it is busy, it is asked again later; when it ended with an error, `finish` says so.
        if self.other.as_ref().is_some_and(|(ask, _)| ask.try_send(()).is_ok()) {
            self.waiting = 0;
        }
        Ok(())
    }
}

fn flush(file: &File, asked: &Receiver<()>) -> io::Result<()> {
    asked.iter().try_for_each(|()| file.sync_data())
}

impl Write for Flushing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.waiting += n;
        if self.waiting >= STEP {
            self.ask()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_whole() {
        let mut file = tempfile::tempfile().unwrap();
        let mut out = Flushing::new(&mut file);
        let block: Vec<u8> = (0..5 << 20).map(|i| (i % 251) as u8).collect();
        for _ in 0..8 {
            out.write_all(&block).unwrap();
        }
        assert!(out.other.is_some(), "the other thread was asked");
        out.finish().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 8 * block.len() as u64);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_other_thread_is_told_is_an_error() {
        // This device cannot be brought anywhere.
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        let mut pipe = Flushing::new(&mut full);
        pipe.ask().unwrap();
        assert!(pipe.finish().is_err());
    }
}
