//! Learns where mixes start (`src/mix/start.rs`, `models/mix-*.bin`) from a corpus.
//!
//!     cargo run --release --example mix_start -- CORPUS OUT.bin alone|beside|nine|six [DOCUMENTS [ROUNDS]]
//!
//! Reptile (Nichol, Achiam and Schulman 2018): a mix that starts from the present values reads each document; the average of
//! what these mixes have learned gives the next values. The first round teaches what follows histories, the
//! later ones weights alone. CORPUS: as tools/pretrain/corpus builds it. DOCUMENTS: of each category.

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

/// Documents are cut to lengths from the first to the second, their logarithms evenly spread.
const LENGTHS: [f64; 2] = [1500.0, 48_000.0];
/// A row of weights that fewer documents than this have touched keeps that much of what its set has in common.
const FEW: f64 = 6.0;
/// The most bits that a probability in a file was taught by.
const MOST: u32 = 255;

#[derive(Deserialize)]
struct Index {
    categories: Vec<String>,
    /// Offset, length, category, source.
    documents: Vec<[usize; 4]>,
}

/// Documents by probability: as many of each category, of which each source gives as many.
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
    probabilities: Vec<[f64; 2]>,
    order0: Vec<[f64; 3]>,
    /// Of each row of each set: weights, and at last how many documents touched it.
    rows: Vec<Vec<Vec<f64>>>,
}

/// Adds a row to its sum where it is not what it was.
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

    /// What the probabilities of a start are.
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

    /// What the weights of a start are.
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

/// The mean of a row's sums, as if [`FEW`] documents more had left it at what is common.
fn towards(row: &[f64], common: &[f64]) -> impl Iterator<Item = f64> {
    let n = row[common.len()];
    row.iter().zip(common).map(move |(sum, common)| (sum + FEW * common) / (n + FEW))
}

/// What a mix has learned when it has read a document.
fn read(method: &str, start: &Start, document: &[u8]) -> Result<MixStatistics> {
    let mut session = Session::create(method)?;
    let mix = session.live_mix()?.context("a method that mixes")?;
    *mix = Mix::starting(*mix.options(), start)?;
    session.feed(document, None)?;
    Ok(session.live_mix()?.context("a method that mixes")?.statistics(start))
}

/// Has all documents read, on all CPUs, and sums up.
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
        // Each round's, so that a long run may be stopped.
        fs::write(out, start.write())?;
        println!("round {i}: {} bytes", start.write().len());
    }
    Ok(())
}
