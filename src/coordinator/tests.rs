//! What a run makes of deaths, stops and silences, over a fake pool and a clock that moves by itself. Each test says
//! what happens to whom, and what comes of it.

use super::splits::cut;
use super::supervisor::Supervision;
use super::tally::{Tallied, TallyJob, tally};
use super::{Columns, Finish, FinishJob, IdfSource, RunError};
use crate::event::Event;
use crate::pool::End;
use crate::pool::fake::{FakePool, Fate, KILLED, Moment, World};
use crate::settings::{Df, Pruning};
use bowline_workers::analyzer::pattern::TokenPattern;
use bowline_workers::analyzer::{Grams, TextSettings, Tokenizer};
use bowline_workers::count::{CountSettings, Features};
use bowline_workers::documents::Documents;
use bowline_workers::failure::Failure;
use bowline_workers::heartbeat::{Crash, Heartbeats};
use bowline_workers::mapped::Store;
use bowline_workers::matrix_plan::{Dtype, Norm, ValueSettings, Weight};
use bowline_workers::plan::{Container, Files};
use bowline_workers::protocol::{Layout, Report, Task};
use bowline_workers::read_limit::ReadLimits;
use bowline_workers::reader::ReadSettings;
use bowline_workers::records::RecordSettings;
use bowline_workers::row;
use bowline_workers::runs::TalliedSegment;
use bowline_workers::segment::term_at;
use bowline_workers::split::Key;
use bowline_workers::tally::TallySettings;
use nix::errno::Errno;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Documents of every run: enough for batches of several.
const ROWS: u64 = 40;

/// How long a worker may make no progress.
const PATIENCE: Duration = Duration::from_secs(2);

const SEGV: End = End::Signalled(11);

/// A row: how often each term occurs. Empty for a document that failed.
type Counts = BTreeMap<String, i32>;

/// A run to be disturbed.
struct Play {
    workers: usize,
    max_crashes: usize,
    lexicon_bytes: usize,
    tokenizer: Tokenizer,
    /// Words of a term.
    sizes: RangeInclusive<usize>,
    /// Bytes of rows that lie in memory, and not in files.
    memory: u64,
    /// Bytes of memory that terms are sorted in.
    run_bytes: usize,
    is_shared: bool,
    signal: Arc<AtomicUsize>,
}

/// What came of it.
#[derive(Debug)]
struct Outcome {
    rows: Vec<Counts>,
    failed: Vec<(usize, Failure)>,
    lost: usize,
    started: u32,
    /// By the run's clock.
    took: Duration,
}

/// What a run counts of its workers.
struct Counters {
    lost: usize,
    started: u32,
    took: Duration,
}

fn play(workers: usize) -> Play {
    Play {
        workers,
        max_crashes: 100,
        lexicon_bytes: usize::MAX,
        tokenizer: Tokenizer::Words,
        sizes: 1..=1,
        memory: 64 << 20,
        run_bytes: usize::MAX,
        is_shared: false,
        signal: Arc::new(AtomicUsize::new(0)),
    }
}

/// The terms of a document, as its text has them.
fn expected(row: u64) -> Counts {
    [("all".to_owned(), 2), (format!("doc{row}"), 1), (format!("mod{}", row % 7), 1)].into()
}

impl Play {
    /// Tallies the corpus with workers that do what `script` says.
    fn run(&self, script: impl FnMut(Moment) -> Fate) -> Result<Outcome, RunError> {
        let rows_and_failed =
            |tallied: Tallied, _: &TallyJob, _: &mut Supervision| Ok((rows(&tallied), tallied.totals.failed));
        let ((rows, failed), told) = self.run_and(script, rows_and_failed)?;
        Ok(Outcome { rows, failed, lost: told.lost, started: told.started, took: told.took })
    }

    /// The same, and what comes after the tally.
    fn run_and<T>(
        &self,
        script: impl FnMut(Moment) -> Fate,
        then: impl FnOnce(Tallied, &TallyJob, &mut Supervision) -> Result<T, RunError>,
    ) -> Result<(T, Counters), RunError> {
        let folder = TempDir::new().expect("a folder");
        let mut documents = Documents::new();
        documents.add_root(None, Vec::new());
        for row in 0..ROWS {
            let path = folder.path().join(format!("{row}.txt"));
            std::fs::write(&path, format!("all doc{row} mod{} all", row % 7)).expect("a file");
            documents.add(path.as_os_str().as_bytes());
        }
        let splits = cut(documents.len(), &[], self.workers, true).into();
        let job = TallyJob {
            documents: Arc::new(documents),
            splits,
            settings: self.settings(),
            store: Store::new(self.memory, Some(folder.path().to_owned())),
            read_limits: ReadLimits::default(),
            max_crashes: self.max_crashes,
            run_bytes: self.run_bytes,
        };
        let world = World::at_rest();
        let began = world.now.get();
        let mut pool = FakePool::new(&world, script);
        pool.is_shared = self.is_shared;
        let mut lost = 0;
        let mut events = |event| lost += usize::from(event == Event::WorkerLost);
        let mut supervision = Supervision {
            pool: &mut pool,
            workers: self.workers,
            patience: PATIENCE,
            interrupted: self.signal.clone(),
            events: &mut events,
            now: &|| world.now.get(),
            kills_for_memory: &|| world.kills_for_memory.get(),
            heartbeats: Heartbeats::new(self.workers).expect("a heartbeats"),
            started: 0,
            starting: Duration::ZERO,
            messages: 0,
        };
        let tallied = tally(&job, None, &mut supervision)?;
        let result = then(tallied, &job, &mut supervision)?;
        let (started, took) = (supervision.started, world.now.get() - began);
        Ok((result, Counters { lost, started, took }))
    }

    fn settings(&self) -> TallySettings {
        let grams = Grams::Words { tokenizer: self.tokenizer.clone(), sizes: self.sizes.clone() };
        let text = TextSettings::new(grams);
        TallySettings {
            reading: ReadSettings::default(),
            records: RecordSettings::default(),
            counting: CountSettings {
                lexicon_bytes: self.lexicon_bytes,
                ..CountSettings::new(text, Features::Vocabulary)
            },
            worker_memory: u64::MAX,
        }
    }

    /// The error of a run that fails.
    fn error(&self, script: impl FnMut(Moment) -> Fate) -> RunError {
        self.run(script).expect_err("the run fails")
    }
}

/// What all records say, spelled.
fn rows(tallied: &Tallied) -> Vec<Counts> {
    let mut spelled = BTreeMap::new();
    for (number, TalliedSegment { rows, .. }) in tallied.segments.iter().enumerate() {
        let segment = rows.records().expect("records");
        let mut terms = Vec::new();
        for record in segment.records() {
            let new = record.term_offsets().filter_map(|at| term_at(segment.bytes(), at));
            terms.extend(new.map(|term| String::from_utf8(term.to_vec()).expect("a term is UTF-8")));
            let counts = row::pairs(record.row()).map(|(id, count)| (terms[id as usize].clone(), count));
            spelled.insert((number, record.offset()), counts.collect::<Counts>());
        }
    }
    let place = |row| tallied.places.get(row);
    (0..ROWS as usize)
        .map(|row| place(row).map_or_else(Counts::new, |place| spelled[&place].clone()))
        .collect()
}

impl Outcome {
    /// These rows failed for these reasons, and all others are what their documents say.
    #[track_caller]
    fn assert_failed(&self, failed: &[(usize, Failure)]) {
        assert_eq!(self.failed, failed);
        for (row, counts) in self.rows.iter().enumerate() {
            let has_failed = failed.iter().any(|&(of, _)| of == row);
            let expected = if has_failed { Counts::new() } else { expected(row as u64) };
            assert_eq!(*counts, expected, "row {row}");
        }
    }
}

/// A script for one row: `fate` so many times, and then the document is done. Nothing happens to other rows.
fn at(row: u64, times: u32, fate: Fate) -> impl FnMut(Moment) -> Fate {
    let mut left = times;
    move |moment| match moment.row == Some(row) && left > 0 {
        true => {
            left -= 1;
            fate
        }
        false => Fate::Performs,
    }
}

const ALWAYS: u32 = u32::MAX;

#[test]
fn a_quiet_run_has_all_rows() {
    for workers in [1, 2, 5] {
        let outcome = play(workers).run(|_| Fate::Performs).unwrap();
        outcome.assert_failed(&[]);
        assert_eq!((outcome.lost, outcome.started), (0, workers as u32));
    }
}

#[test]
fn a_suspect_is_done_again_alone_by_a_fresh_worker() {
    for workers in [1, 2, 5] {
        let mut done = Vec::new();
        let mut script = at(3, 1, Fate::Dies(SEGV));
        let outcome = play(workers).run(|moment| {
            if let Some(row) = moment.row {
                done.push((moment.worker, row));
            }
            script(moment)
        });
        let outcome = outcome.unwrap();
        outcome.assert_failed(&[]);
        assert_eq!(outcome.lost, 1);
        let &(fresh, _) = done.iter().rfind(|(_, row)| *row == 3).unwrap();
        assert_eq!(done.iter().find(|(worker, _)| *worker == fresh), Some(&(fresh, 3)));
    }
}

#[test]
fn a_death_alone_condemns_the_document_and_names_its_cause() {
    let fates = [
        (Fate::Dies(SEGV), Failure::Killed(11)),
        (Fate::Dies(End::Exited(7)), Failure::Exited(7)),
        (Fate::Notes(Crash::OutOfMemory, End::Signalled(6)), Failure::OutOfMemory),
        (Fate::Notes(Crash::Signal(6), End::Signalled(6)), Failure::Killed(6)),
        (Fate::IsKilledForMemory, Failure::OutOfMemory),
        (Fate::Holds, Failure::TimedOut),
    ];
    for (workers, (fate, failure)) in [1, 2, 5].into_iter().flat_map(|w| fates.map(|f| (w, f))) {
        let outcome = play(workers).run(at(3, ALWAYS, fate)).unwrap();
        outcome.assert_failed(&[(3, failure)]);
        assert_eq!(outcome.lost, 2, "{fate:?} with {workers} workers");
    }
}

#[test]
fn kills_from_outside_condemn_nothing_and_delay_only_their_document() {
    for workers in [1, 2] {
        let mut done = Vec::new();
        let mut script = at(0, 8, Fate::Dies(KILLED));
        let outcome = play(workers).run(|moment| {
            let fate = script(moment);
            if let (Fate::Performs, Some(row)) = (fate, moment.row) {
                done.push(row);
            }
            fate
        });
        let outcome = outcome.unwrap();
        outcome.assert_failed(&[]);
        assert_eq!(outcome.lost, 8);
        // 0 ms, 1, 3, 7, ... up to 63; and no time passes while others work.
        assert_eq!(outcome.took, Duration::from_millis(1 + 3 + 7 + 15 + 31 + 63 + 63));
        assert!(done.iter().position(|&row| row == 0) > Some(done.len() / 2), "{done:?}");
    }
}

#[test]
fn a_suspect_that_is_killed_from_outside_stays_one() {
    let mut deaths = [SEGV, KILLED, KILLED, KILLED].into_iter();
    let mut workers = Vec::new();
    let outcome = play(1).run(|moment| {
        workers.push((moment.worker, moment.row));
        match moment.row {
            Some(3) => deaths.next().map_or(Fate::Performs, Fate::Dies),
            _ => Fate::Performs,
        }
    });
    let outcome = outcome.unwrap();
    outcome.assert_failed(&[]);
    assert_eq!(outcome.lost, 4);
    let &(last, _) = workers.iter().rfind(|(_, row)| *row == Some(3)).unwrap();
    let first = workers.iter().find(|(worker, _)| *worker == last).unwrap();
    assert_eq!(first.1, Some(3), "it is done by a fresh worker");
}

#[test]
fn kills_without_end_are_given_up() {
    let error = play(2).error(at(3, ALWAYS, Fate::Dies(KILLED)));
    assert!(matches!(error, RunError::KilledAgain(20)), "{error}");
}

#[test]
fn too_many_condemned_documents_end_the_run() {
    let script = |moment: Moment| match moment.row {
        Some(row) if row % 5 == 0 => Fate::Dies(SEGV),
        _ => Fate::Performs,
    };
    for workers in [1, 2, 5] {
        let few = Play { max_crashes: 7, ..play(workers) };
        assert!(matches!(few.error(script), RunError::TooManyCrashes(7)));
        let enough = Play { max_crashes: 8, ..play(workers) };
        assert_eq!(enough.run(script).unwrap().failed.len(), 8);
    }
}

#[test]
fn deaths_between_documents_condemn_nothing_and_have_an_end() {
    let outcome = play(2).run(at(3, 50, Fate::DiesIdle(SEGV))).unwrap();
    outcome.assert_failed(&[]);
    assert_eq!(outcome.lost, 50);
    let error = play(2).error(at(3, ALWAYS, Fate::DiesIdle(SEGV)));
    assert_eq!(error.to_string(), "a worker could not go on: workers die between documents (Signal(11))");
}

#[test]
fn a_full_lexicon_retires_its_worker() {
    for workers in [1, 2, 5] {
        let outcome = Play { lexicon_bytes: 0, ..play(workers) }.run(|_| Fate::Performs).unwrap();
        outcome.assert_failed(&[]);
        assert_eq!((outcome.lost, u64::from(outcome.started)), (0, ROWS), "a document each");
    }
}

#[test]
fn spoiled_records_are_done_again() {
    for workers in [1, 2, 5] {
        let mut times = BTreeMap::<u64, u32>::new();
        let mut script = at(1, 1, Fate::Spoils("doc0", SEGV));
        // Rows lie in files, where a script can spoil them.
        let outcome = Play { memory: 0, ..play(workers) }.run(|moment| {
            moment.row.into_iter().for_each(|row| *times.entry(row).or_default() += 1);
            script(moment)
        });
        let outcome = outcome.unwrap();
        outcome.assert_failed(&[]);
        assert_eq!((outcome.lost, times[&0], times[&1]), (1, 2, 2), "{workers} workers");
    }
}

#[test]
fn a_worker_that_does_not_move_is_ended_in_time() {
    let outcome = play(1).run(at(3, ALWAYS, Fate::Holds)).unwrap();
    outcome.assert_failed(&[(3, Failure::TimedOut)]);
    let (least, most) = (2 * PATIENCE, 2 * PATIENCE + Duration::from_millis(300));
    assert!((least..most).contains(&outcome.took), "{:?}", outcome.took);
}

#[test]
fn a_slow_document_is_no_hang() {
    let outcome = play(1).run(at(3, 1000, Fate::Moves)).unwrap();
    outcome.assert_failed(&[]);
    assert!(outcome.lost == 0 && outcome.took > 10 * PATIENCE, "{:?}", outcome.took);
}

#[test]
fn a_worker_without_a_document_may_take_its_time() {
    let outcome = play(1).run(at(3, 1000, Fate::Waits)).unwrap();
    outcome.assert_failed(&[]);
    assert!(outcome.lost == 0 && outcome.took > 10 * PATIENCE, "{:?}", outcome.took);
}

#[test]
fn a_stopped_worker_is_ended_and_condemns_nothing() {
    let outcome = play(1).run(|moment| match (moment.row, moment.worker) {
        (Some(3), ..5) => Fate::Stops,
        _ => Fate::Performs,
    });
    let outcome = outcome.unwrap();
    outcome.assert_failed(&[]);
    assert_eq!(outcome.lost, 5);
}

#[test]
fn a_worker_that_is_stopped_while_it_leaves_is_ended() {
    let outcome = play(2).run(|moment| match moment.task {
        Task::Leave => Fate::Stops,
        _ => Fate::Performs,
    });
    let outcome = outcome.unwrap();
    outcome.assert_failed(&[]);
    assert!(outcome.took > PATIENCE && outcome.took < 2 * PATIENCE, "{:?}", outcome.took);
}

#[test]
fn no_time_passes_while_the_whole_job_is_stopped() {
    // 1.5 s of the 2 s that it may take before and after the stop, in steps of 50 ms.
    for (stop, lost) in [(Duration::from_secs(3600), 0), (Duration::from_millis(900), 1)] {
        let looks = Cell::new(0);
        let outcome = play(1).run(|moment| {
            if moment.row != Some(3) {
                return Fate::Performs;
            }
            looks.set(looks.get() + 1);
            match looks.get() {
                30 => Fate::JobStops(stop),
                ..39 => Fate::Holds,
                _ => Fate::Performs,
            }
        });
        let outcome = outcome.unwrap();
        outcome.assert_failed(&[]);
        assert_eq!(outcome.lost, lost, "a stop of {stop:?}");
    }
}

#[test]
fn a_signal_ends_the_run() {
    let play = play(2);
    let error = play.error(|moment| {
        if moment.row == Some(3) {
            play.signal.store(15, Ordering::Relaxed);
        }
        Fate::Performs
    });
    assert!(matches!(error, RunError::Interrupted(15)), "{error}");
}

#[test]
fn what_no_retry_mends_ends_the_run() {
    let broken = |errno: i32| play(2).error(at(3, 1, Fate::Reports(Report::Broken { errno })));
    assert!(matches!(broken(Errno::ENOSPC as i32), RunError::NoDisk { .. }));
    assert!(matches!(broken(Errno::ENOMEM as i32), RunError::NoMemory { .. }));
    assert!(matches!(broken(Errno::EIO as i32), RunError::System { .. }));
    assert!(matches!(broken(0), RunError::Broken(_)));
}

#[test]
fn where_workers_share_a_process_a_crash_or_a_hang_is_the_end() {
    let threads = Play { is_shared: true, ..play(2) };
    let crashed = threads.error(at(3, 1, Fate::Notes(Crash::Signal(11), SEGV)));
    let is_document =
        |key: Key| cut(ROWS as usize, &[], 2, true)[key.split as usize].file_of(key.ordinal) == 3;
    assert!(
        matches!(crashed, RunError::Crashed(Crash::Signal(11), Some(key)) if is_document(key)),
        "{crashed}"
    );
    let stuck = threads.error(at(3, ALWAYS, Fate::Holds));
    assert!(matches!(stuck, RunError::Stuck(Some(key)) if is_document(key)), "{stuck}");
}

/// The bytes of the matrix, the documents' lines and the terms', and how many workers were lost.
fn finished(
    sizes: RangeInclusive<usize>,
    script: impl FnMut(Moment) -> Fate,
) -> Result<([Vec<u8>; 3], usize), RunError> {
    let pruning = Pruning { min_df: Df::Documents(2), max_df: Df::Share(1.0), max_features: None };
    let (bytes, counters) = written(&Play { sizes, ..play(2) }, pruning, script)?;
    Ok((bytes, counters.lost))
}

/// What `play` writes, where columns are terms.
fn written(
    play: &Play,
    pruning: Pruning,
    script: impl FnMut(Moment) -> Fate,
) -> Result<([Vec<u8>; 3], Counters), RunError> {
    let files = [(); 3].map(|()| tempfile::tempfile().expect("a file"));
    let finish = |tallied, job: &TallyJob, supervision: &mut Supervision| {
        let [matrix, lines, terms] = files.each_ref().map(|file| file.try_clone().expect("a descriptor"));
        let values = ValueSettings { weight: Weight::Count, norm: Norm::None, dtype: Dtype::I32 };
        let finish_job = FinishJob {
            columns: Columns::Terms(pruning),
            idf: IdfSource::None,
            counts_columns: false,
            values,
            container: Container::Sparse,
            worker_memory: u64::MAX,
            records: RecordSettings::default(),
            may_be_empty: false,
        };
        let outputs = Files { matrix, documents: lines, terms: Some(terms) };
        let mut finish = Finish::new(tallied, finish_job, outputs, &job.store, supervision)?;
        let merged = finish.merge(supervision)?;
        if play.sizes == (1..=1) && pruning.max_features.is_none() && pruning.min_df == Df::Documents(2) {
            assert_eq!((merged.columns, merged.nonzeros), (8, 2 * ROWS));
        }
        let (columns, data) = (merged.columns, 4 * merged.nonzeros);
        finish.emit(Layout { indices: 0, data, columns, wide: false }, supervision)
    };
    let (_, counters) = play.run_and(script, finish)?;
    let bytes = files.map(|file| {
        let mut bytes = vec![0; file.metadata().expect("a file").len() as usize];
        file.read_exact_at(&mut bytes, 0).expect("a readable file");
        bytes
    });
    Ok((bytes, counters))
}

/// Whether terms are sorted in one run a segment or in a hundred, and wherever tables lie. N-grams have these bytes also if
/// they are sorted by their spelling, as those of a pattern's tokens are.
#[test]
fn runs_of_any_size_give_the_same_bytes() {
    let pattern = Arc::new(TokenPattern::new(r"\w\w+").expect("a pattern"));
    // Keys of one integer and of several.
    for (sizes, max_features) in [(1..=1, 3), (1..=3, 5), (2..=9, 40)] {
        for max_features in [None, Some(max_features)] {
            let pruning = Pruning { min_df: Df::Documents(1), max_df: Df::Share(1.0), max_features };
            let of = |play: Play| {
                // The lines of documents have the folder's name.
                let play = Play { sizes: sizes.clone(), ..play };
                let ([matrix, _, terms], _) =
                    written(&play, pruning, |_| Fate::Performs).expect("a whole run");
                [matrix, terms]
            };
            let whole = of(Play { tokenizer: Tokenizer::Pattern(pattern.clone()), ..play(1) });
            assert!(whole.iter().all(|bytes| !bytes.is_empty()));
            for (run_bytes, memory, workers) in
                [(usize::MAX, 64 << 20, 1), (0, 64 << 20, 1), (0, 0, 3), (100, 64 << 20, 2), (500, 0, 2)]
            {
                let found = of(Play { run_bytes, memory, ..play(workers) });
                assert!(found == whole, "{sizes:?} {max_features:?} {run_bytes} {memory}");
            }
        }
    }
}

#[test]
fn deaths_in_the_second_half_cost_nothing() {
    for sizes in [1..=1, 1..=3] {
        let ([matrix, _, terms], lost) = finished(sizes.clone(), |_| Fate::Performs).unwrap();
        assert!(lost == 0 && !matrix.is_empty() && !terms.is_empty());
        // Every worker of the second half does one task, and dies of the next one, however it dies.
        let out_of_memory = Fate::Notes(Crash::OutOfMemory, End::Signalled(6));
        let deaths = [SEGV, KILLED, End::Exited(1)].map(Fate::Dies);
        for death in deaths.into_iter().chain([out_of_memory, Fate::IsKilledForMemory]) {
            let mut done = BTreeMap::<u32, u32>::new();
            let disturbed = finished(sizes.clone(), |moment| match moment.row {
                None if moment.task != Task::Leave => {
                    *done.entry(moment.worker).or_default() += 1;
                    if done[&moment.worker] > 1 { death } else { Fate::Performs }
                }
                _ => Fate::Performs,
            });
            let ([again, _, terms_again], lost) = disturbed.unwrap();
            assert!(again == matrix && terms_again == terms && lost > 3, "{sizes:?} {death:?}: {lost} lost");
        }
    }
}

#[test]
fn deaths_without_end_in_the_second_half_are_given_up() {
    let always = |end: End| {
        finished(1..=1, move |moment| match moment.row {
            None if moment.task != Task::Leave => Fate::Dies(end),
            _ => Fate::Performs,
        })
    };
    let error = |end: End| always(end).expect_err("the run fails");
    assert!(matches!(error(KILLED), RunError::KilledAgain(20)));
    assert_eq!(error(SEGV).to_string(), "a worker could not go on: Signal(11) while finishing");
}

#[test]
fn a_task_of_the_second_half_that_needs_more_memory_ends_the_run_soon() {
    for death in [Fate::Notes(Crash::OutOfMemory, End::Signalled(6)), Fate::IsKilledForMemory] {
        let (mut tried, mut first) = (0, None);
        let ended = finished(1..=1, |moment| match moment.row {
            None if moment.task != Task::Leave && *first.get_or_insert(moment.task) == moment.task => {
                tried += 1;
                death
            }
            _ => Fate::Performs,
        });
        assert!(matches!(ended, Err(RunError::NoMemoryToFinish)), "{death:?}: {ended:?}");
        assert_eq!(tried, 3, "among other tasks, then twice alone");
    }
}
