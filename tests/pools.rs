//! The promises of both real pools to the coordinator. This is one program without a test harness: a process that forks
//! workers must have one thread, so the pool of processes is tested first.

use bowline::pool::{
    Confinement, End, PoolError, PoolEvent, Processes, Sandbox, ThreadGuards, Threads, WorkerPool, limit_data,
};
use bowline_workers::analyzer::{Grams, TextSettings, Tokenizer};
use bowline_workers::count::{CountSettings, Features};
use bowline_workers::dictionary::Tier;
use bowline_workers::documents::Documents;
use bowline_workers::heartbeat::Heartbeats;
use bowline_workers::mapped::Store;
use bowline_workers::protocol::{Report, Task};
use bowline_workers::read_limit::ReadLimits;
use bowline_workers::reader::ReadSettings;
use bowline_workers::records::RecordSettings;
use bowline_workers::segment::{Segment, SegmentWriter};
use bowline_workers::split::{Part, Split, SplitKind};
use bowline_workers::tally::{Tally, TallySettings};
use bowline_workers::worker::Worker;
use nix::sys::wait::waitpid;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A valid task for this worker: its one document.
const DOCUMENT: Task = Task::Tally(Part { id: 0, split: split(0), state: 0, start: 0, end: 1 });

/// A task that no worker survives: the number of the row overflows, which panics in builds with overflow checks.
const DEADLY: Task = Task::Tally(Part { id: 0, split: split(u64::MAX), state: 0, start: 1, end: 2 });

/// A batch of two files.
const fn split(file: u64) -> Split {
    Split { file, kind: SplitKind::Files(2) }
}

/// How long to wait for an event that must happen, and for an event that must not.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

fn main() {
    // The workers of this test panic on purpose.
    std::panic::set_hook(Box::new(|panic| {
        if std::thread::current().name() == Some("main") {
            // Writing to a worker's standard error fails.
            let _ = writeln!(std::io::stderr(), "{panic}");
        }
    }));
    let mut document = tempfile::NamedTempFile::new().expect("a file");
    document.write_all(b"one two two").expect("room for it");
    let worker = |heartbeats: &Heartbeats| worker(document.path(), heartbeats);

    let processes = || {
        Processes::new(Sandbox::new(Confinement::Off, &[], std::iter::empty()).expect("no sandbox"))
            .expect("a pool")
    };
    conforms(&mut processes(), &worker, true);
    reports_come_in_order(&mut processes(), &worker);
    dropping_ends(processes(), &worker);
    let left = waitpid(None, None);
    assert_eq!(left, Err(nix::errno::Errno::ECHILD), "every process was waited for");
    println!("processes: ok");

    let guards = ThreadGuards { hold_crashed: None, limit_memory: Some(limit_data) };
    let threads = || Threads::new(2, guards).expect("a pool");
    conforms(&mut threads(), &worker, false);
    reports_come_in_order(&mut threads(), &worker);
    dropping_ends(threads(), &worker);
    println!("threads: ok");
}

/// A worker with one document, and the segment that it writes.
fn worker(document: &std::path::Path, heartbeats: &Heartbeats) -> (Worker, Segment) {
    let grams = Grams::Words { tokenizer: Tokenizer::Words, sizes: 1..=1 };
    let settings = TallySettings {
        reading: ReadSettings::default(),
        records: RecordSettings::default(),
        counting: CountSettings::new(TextSettings::new(grams), Features::Vocabulary),
        worker_memory: u64::MAX,
    };
    let mut documents = Documents::new();
    documents.add_root(None, Vec::new());
    documents.add(document.as_os_str().as_bytes());
    let writer = SegmentWriter::new(1 << 20, &Store::unlimited()).expect("a segment");
    let (segment, heartbeat) = (writer.segment(), heartbeats.heartbeat(0));
    let read_limit = ReadLimits::default().read_limit(0, &heartbeat).expect("an open read_limit");
    (Worker::tallying(Tally::new(&settings, Arc::new(documents), read_limit, writer, heartbeat)), segment)
}

type Starter<'a> = &'a dyn Fn(&Heartbeats) -> (Worker, Segment);

/// The events up to and including the first event for which `is_last` is true.
fn until(pool: &mut dyn WorkerPool, is_last: impl Fn(&PoolEvent) -> bool) -> Vec<PoolEvent> {
    let (began, mut events) = (Instant::now(), Vec::new());
    while !events.iter().any(&is_last) {
        assert!(began.elapsed() < LONG, "nothing but {events:?}");
        events.extend(pool.wait(SHORT).expect("channels that work"));
    }
    events
}

fn is_left(event: &PoolEvent) -> bool {
    matches!(event, PoolEvent::Reported(_, Report::Left(_)))
}

/// Tasks, reports, deaths and forced ends.
fn conforms(pool: &mut dyn WorkerPool, start: Starter, can_end: bool) {
    let heartbeats = Heartbeats::new(1).expect("a heartbeats");
    assert!(pool.capacity() >= 1);
    assert!(pool.wait(SHORT).expect("no event is no error").is_empty(), "without workers nothing happens");

    // A task, its report, and the record that the worker has written.
    let (worker, segment) = start(&heartbeats);
    pool.start(1, worker).expect("a worker");
    assert!(!pool.is_stopped(1));
    pool.send(1, DOCUMENT);
    let events = until(pool, |_| true);
    assert_eq!(events, [PoolEvent::Reported(1, Report::Tallied { end: 1 })]);
    assert_eq!(segment.records().map(|record| record.tokens()).collect::<Vec<_>>(), [3]);
    assert_eq!(heartbeats.done(), (1, 11));

    // A worker that exits sends a last report. After it, only its end may follow as an event of its number.
    pool.send(1, Task::Leave);
    until(pool, is_left);
    pool.send(1, DOCUMENT);
    let later = pool.wait(SHORT).expect("channels that work");
    assert!(later.iter().all(|event| *event == PoolEvent::Ended(1, End::Exited(0))), "{later:?}");

    // A death is an event, after all reports.
    let (worker, segment) = start(&heartbeats);
    pool.start(2, worker).expect("a worker");
    for task in [DOCUMENT, DEADLY] {
        pool.send(2, task);
    }
    let events = until(pool, |event| matches!(event, PoolEvent::Ended(2, _)));
    let events: Vec<_> =
        events.into_iter().filter(|event| !matches!(event, PoolEvent::Ended(1, _))).collect();
    assert_eq!(
        events,
        [PoolEvent::Reported(2, Report::Tallied { end: 1 }), PoolEvent::Ended(2, End::Exited(101))]
    );
    assert_eq!(segment.records().count(), 1, "what was committed stays");
    pool.send(2, DOCUMENT);

    // By force, if the pool can do that.
    pool.start(3, start(&heartbeats).0).expect("a worker");
    match pool.end(3) {
        Ok(()) => {
            assert!(can_end);
            let events = until(pool, |_| true);
            assert_eq!(events, [PoolEvent::Ended(3, End::Signalled(9))]);
        }
        Err(error) => assert!(!can_end && matches!(error, PoolError::CannotEnd), "{error}"),
    }
}

/// The reports of one worker are in the order of its tasks; those of two workers are distinguished.
fn reports_come_in_order(pool: &mut dyn WorkerPool, start: Starter) {
    let heartbeats = Heartbeats::new(1).expect("a heartbeats");
    for id in [1, 2] {
        pool.start(id, start(&heartbeats).0).expect("a worker");
        [DOCUMENT, Task::Sort { tier: Tier::Terms, run: 0 }, Task::Leave]
            .into_iter()
            .for_each(|task| pool.send(id, task));
    }
    let mut reports = [Vec::new(), Vec::new()];
    while reports.iter().flatten().filter(|report| matches!(report, Report::Left(_))).count() < 2 {
        for event in pool.wait(LONG).expect("channels that work") {
            if let PoolEvent::Reported(id, report) = event {
                reports[id as usize - 1].push(report);
            }
        }
    }
    for reports in reports {
        assert!(
            matches!(reports[..], [Report::Tallied { end: 1 }, Report::Broken { errno: 0 }, Report::Left(_)]),
            "{reports:?}"
        );
    }
}

/// Dropping a pool ends its idle workers without an event.
fn dropping_ends(mut pool: impl WorkerPool, start: Starter) {
    let heartbeats = Heartbeats::new(1).expect("a heartbeats");
    for id in [1, 2] {
        pool.start(id, start(&heartbeats).0).expect("a worker");
    }
    drop(pool);
}
