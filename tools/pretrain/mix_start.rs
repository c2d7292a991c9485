//! Trains the initial values of mixes (`src/mix/start.rs`, `models/mix-*.bin`) on a corpus.
//!
//!     cargo run --release --example mix_start -- CORPUS OUT.bin alone|beside|nine|six [DOCUMENTS [ROUNDS]]
//!
//! The method is Reptile (Nichol, Achiam and Schulman 2018). In each round, a mix that starts from the present values
//! learns from each document. The means of the values that these mixes have learned are the next values. The first
//! round sets probabilities and weights, later rounds set only weights. CORPUS is a folder that tools/pretrain/corpus
//! has built. DOCUMENTS is the number of documents of each category (default: 120). The default of ROUNDS is 10.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use gptz::mix::{Mix, MixStatistics, Start, StartKind};
use gptz::numeric::random::Random;
use gptz::session::Session;
use serde::Deserialize;

/// Documents are cut to lengths between these two. The logarithms of the lengths are distributed uniformly.
const LENGTHS: [f64; 2] = [1500.0, 48_000.0];
/// The mean of a row includes the base row of its set with the weight of this many documents, so that rows that few
/// documents have changed stay close to the base row.
const FEW: f64 = 6.0;
/// The maximum count of an adaptive probability in a file.
const MOST: u32 = 255;

#[derive(Deserialize)]
struct Index {
    categories: Vec<String>,
    /// Offset, length, category, source.
    documents: Vec<[usize; 4]>,
}

/// Draws `each` documents of every category. Within a category, all sources have the same probability.
fn sample(folder: &Path, each: usize) -> Result<Vec<Vec<u8>>> {
    let read = |name: &str| fs::read(folder.join(name)).with_context(|| format!("{}", folder.join(name).display()));
    let (index, bytes) = (serde_json::from_slice::<Index>(&read("corpus.idx.json")?)?, read("corpus.bin")?);
    let mut random = Random::new(0, "mix start");
    let mut below = |n: usize| (random.next_u64() >> 11) as usize % n;
    let mut documents = Vec::new();
    for (category, name) in index.categories.iter().enumerate() {
        let long = |d: &&[usize; 4]| d[2] == category && d[1] >= LENGTHS[0] as usize;
        let mut sources: Vec<usize> = index.documents.iter().filter(long).map(|d| d[3]).collect();
        sources.sort_unstable();
        sources.dedup();
        if sources.is_empty() {
            bail!("no documents of {name}");
        }
        for _ in 0..each {
            let source = sources[below(sources.len())];
            let of_source: Vec<_> = index.documents.iter().filter(long).filter(|d| d[3] == source).collect();
            let [offset, length, ..] = *of_source[below(of_source.len())];
            let share = below(1 << 20) as f64 / f64::from(1 << 20);
            let most = (LENGTHS[0] * (LENGTHS[1] / LENGTHS[0]).powf(share)) as usize;
            documents.push(bytes[offset..offset + length.min(most)].to_vec());
        }
    }
    Ok(documents)
}

/// Sums over documents.
struct Sums {
    /// For each adaptive probability: the sum of probabilities, weighted by their counts, and the sum of the counts.
    probabilities: Vec<[f64; 2]>,
    /// For each cell of order 0: the sums of fast and slow probabilities, and the number of documents that changed it.
    order0: Vec<[f64; 3]>,
    /// For each row of each set: the sums of the weights, and the number of documents that changed it.
    rows: Vec<Vec<Vec<f64>>>,
}

/// Adds a row to its sums if it differs from its initial value, `before`.
fn add_row(sum: &mut Vec<f64>, row: &[i32], before: &[i32]) {
    sum.resize(row.len() + 1, 0.0);
    if row != before {
        sum.iter_mut().zip(row.iter().chain([&1])).for_each(|(sum, x)| *sum += f64::from(*x));
    }
}

impl Sums {
    fn new(of: &MixStatistics) -> Self {
        Self {
            probabilities: vec![[0.0; 2]; of.probabilities.len()],
            order0: vec![[0.0; 3]; of.order0.len()],
            rows: of.rows.iter().map(|rows| vec![Vec::new(); rows.len()]).collect(),
        }
    }

    fn add(&mut self, learned: &MixStatistics, before: &MixStatistics) {
        for (sum, (p, n)) in self.probabilities.iter_mut().zip(&learned.probabilities) {
            *sum = [sum[0] + f64::from(*p) * f64::from(*n), sum[1] + f64::from(*n)];
        }
        let order0 = learned.order0.iter().zip(&before.order0);
        for (sum, ([fast, slow], _)) in self.order0.iter_mut().zip(order0).filter(|(_, (now, before))| now != before) {
            *sum = [sum[0] + f64::from(*fast), sum[1] + f64::from(*slow), sum[2] + 1.0];
        }
        for (sums, (rows, before)) in self.rows.iter_mut().zip(learned.rows.iter().zip(&before.rows)) {
            let rows = rows.iter().zip(before);
            sums.iter_mut().zip(rows).for_each(|(sum, (row, before))| add_row(sum, row, before));
        }
    }

    /// Sets the probabilities of a start to the means.
    fn probabilities(&self, start: &mut Start) {
        for (probability, [sum, n]) in
            start.probabilities.iter_mut().zip(&self.probabilities).filter(|(_, [_, n])| *n > 0.0)
        {
            *probability = ((sum / n).round() as u16, n.min(f64::from(MOST)) as u8);
        }
        for (cells, [fast, slow, n]) in start.order0.iter_mut().zip(&self.order0).filter(|(_, [_, _, n])| *n > 0.0) {
            *cells = [fast, slow].map(|sum| (sum / n).round() as u16);
        }
    }

    /// Sets the weights of a start to the means.
    fn weights(&self, start: &mut Start) {
        let mean = |rows: &[Vec<f64>]| -> Vec<f64> {
            let columns = rows[0].len() - 1;
            let sum = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>();
            (0..columns).map(|column| sum(column) / sum(columns)).collect()
        };
        let mut first = 0;
        for ((rows, base), room) in self.rows.iter().zip(&mut start.base).zip(Start::ROWS) {
            let common = mean(rows);
            base.iter_mut().zip(&common).for_each(|(to, weight)| *to = Start::base(*weight));
            for (row, to) in rows.iter().zip(&mut start.rows[first..]) {
                let own = towards(row, &common).zip(&common).map(|(weight, common)| weight - common);
                to.iter_mut().zip(own).for_each(|(to, own)| *to = Start::difference(own));
            }
            first += room;
        }
    }
}

/// The mean of the weights of a row, including [`FEW`] times the base row.
fn towards(row: &[f64], common: &[f64]) -> impl Iterator<Item = f64> {
    let n = row[common.len()];
    row.iter().zip(common).map(move |(sum, common)| (sum + FEW * common) / (n + FEW))
}

/// The values of a mix that starts from `start`, after it has learned from a document.
fn read(method: &str, start: &Start, document: &[u8]) -> Result<MixStatistics> {
    let mut session = Session::create(method)?;
    let mix = session.live_mix()?.context("a method that mixes")?;
    *mix = Mix::starting(*mix.options(), start)?;
    session.feed(document, None)?;
    Ok(session.live_mix()?.context("a method that mixes")?.statistics(start))
}

/// Runs all documents through mixes, on all CPUs, and sums up the values that they have learned.
fn round(method: &str, start: &Start, documents: &[Vec<u8>]) -> Result<Sums> {
    let before = read(method, start, &[])?;
    let (sums, next) = (Mutex::new(Sums::new(&before)), AtomicUsize::new(0));
    let work = || -> Result<()> {
        while let Some(document) = documents.get(next.fetch_add(1, Ordering::Relaxed)) {
            let learned = read(method, start, document)?;
            sums.lock().unwrap_or_else(PoisonError::into_inner).add(&learned, &before);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..thread::available_parallelism()?.get()).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    Ok(sums.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out, kind, numbers @ ..] = &args[..] else {
        bail!("CORPUS OUT.bin alone|beside|nine|six [DOCUMENTS [ROUNDS]]")
    };
    let (kind, method) = match &kind[..] {
        "alone" => (StartKind::Alone, "level:3"),
        "beside" => (StartKind::Beside, "level:5"),
        "nine" => (StartKind::Nine, "level:2"),
        "six" => (StartKind::Six, "level:1"),
        _ => bail!("{kind}: alone, beside, nine or six"),
    };
    let numbers: Vec<usize> = numbers.iter().map(|n| n.parse().context("a number")).collect::<Result<_>>()?;
    let documents = sample(Path::new(folder), numbers.first().copied().unwrap_or(120))?;
    println!("{} documents, {} bytes", documents.len(), documents.iter().map(Vec::len).sum::<usize>());
    let mut start = Start::untrained(kind);
    for i in 0..numbers.get(1).copied().unwrap_or(10) {
        let sums = round(method, &start, &documents)?;
        if i == 0 {
            sums.probabilities(&mut start);
        }
        sums.weights(&mut start);
        // The file is written after each round, so that a long run may be stopped early.
        fs::write(out, start.write())?;
        println!("round {i}: {} bytes", start.write().len());
    }
    Ok(())
}
