//! Links, directories and files that other users have put where a run looks for earlier work. The run does not use,
//! enter or remove them, and loses no data.

use super::{DOCUMENTS, hold_workers};
use crate::support::{Dir, Invocation, assert_same_bytes, wrapper};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// The user who runs the tests.
fn user() -> u32 {
    fs::metadata("/proc/self").expect("a process").uid()
}

/// The name of the checkpoint directory of a run with the output at `path`.
fn checkpoint_name(dir: &Dir, output: &str) -> String {
    let target = fs::canonicalize(dir.path(".")).expect("the test's directory").join(output);
    let name = target.file_name().and_then(|name| name.to_str()).expect("a name");
    format!("{name}.{:08x}.checkpoint", crc32fast::hash(target.as_os_str().as_bytes()))
}

fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a directory of our own");
}

/// A corpus, a user's directory whose entries all have names that a run would remove or resume from, and `shared`, to
/// which every user may write, as to /tmp.
fn with_victim(documents: usize) -> Dir {
    let dir = Dir::with_generated(documents);
    for name in ["thesis.txt", "plan", "matrix.npz", "manifest.json", "0/plan", "0/0", "notes/one.txt"] {
        dir.write(format!("victim/{name}"), "years of work");
    }
    fs::create_dir(dir.path("shared")).unwrap();
    dir
}

/// All files beneath a directory, with their contents.
fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => _ = found.insert(path.clone(), fs::read(&path).unwrap()),
            }
        }
    }
    found
}

/// Requires that a run is refused in one line with these parts, and removes none of the victim's files.
#[track_caller]
fn refused(dir: &Dir, invocation: Invocation, parts: &[&str]) {
    let before = files(&dir.path("victim"));
    let finished = invocation.run().expect(1);
    for part in parts {
        assert!(finished.line().contains(part), "{part}: {}", finished.line());
    }
    assert_eq!(files(&dir.path("victim")), before);
}

const RESUME: [&str; 3] = ["--resume", "--scratch", "shared"];

/// The name that the run would use is a link to a user's directory.
#[test]
fn a_link_in_the_place_of_a_checkpoint_is_not_followed() {
    let dir = with_victim(5);
    let name = checkpoint_name(&dir, "out");
    symlink("../victim", dir.path("shared").join(&name)).unwrap();
    let expected =
        ["shared/", &name, ": is a symbolic link, and no run has left it (remove it, or --scratch"];
    refused(&dir, dir.embed_to("out", &RESUME), &expected);
    assert_eq!(dir.entries(), ["corpus", "shared", "victim"]);
    // A run that neither looks for a checkpoint nor makes one does not touch the link.
    let before = files(&dir.path("victim"));
    dir.embed_to("out", &["--scratch", "shared"]).run().expect(0);
    assert_eq!(files(&dir.path("victim")), before);
    assert!(dir.path("shared").join(name).is_symlink());
}

#[test]
fn a_link_within_what_a_run_has_left_is_not_followed() {
    let dir = with_victim(5);
    let name = checkpoint_name(&dir, "out");
    for link in [name.clone(), format!("{name}/0")] {
        let path = dir.path("out.partial").join(&link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(dir.path("victim"), &path).unwrap();
        for options in [&[][..], &["--resume"], &["--force"]] {
            let expected = ["/out.partial/", &link, ": is a symbolic link", "--output names another place"];
            refused(&dir, dir.embed_to("out", options), &expected);
        }
        fs::remove_dir_all(dir.path("out.partial")).unwrap();
    }
    // The place to which a replaced output is moved first.
    dir.embed_to("out", &[]).run().expect(0);
    symlink("victim", dir.path("out.replaced.partial")).unwrap();
    refused(&dir, dir.embed_to("out", &["--force"]), &["/out.replaced.partial: is a symbolic link"]);
}

/// A checkpoint in `shared` of a run that was ended halfway, and the folder of that run in it.
fn left_halfway(dir: &Dir) -> PathBuf {
    let mut run = dir.embed_to("out", &RESUME).start();
    hold_workers(&mut run);
    run.signal(Signal::SIGTERM);
    run.wait().expect(143);
    let folder = dir.path("shared").join(checkpoint_name(dir, "out")).join("0");
    assert!(folder.join("plan").is_file() && folder.join("0").is_file());
    folder
}

/// A run empties a segment that contains no usable record.
#[test]
fn a_segment_that_is_another_file_too_is_not_emptied() {
    let dir = with_victim(DOCUMENTS);
    let thesis = dir.path("victim/thesis.txt");
    let folder = left_halfway(&dir);
    for name in ["0", "plan"] {
        for (is_hard, expected) in
            [(true, "has a second name (a hard link)"), (false, "is a symbolic link, and no run has left it")]
        {
            let (file, aside) = (folder.join(name), dir.path("aside"));
            fs::rename(&file, &aside).unwrap();
            let planted = if is_hard { fs::hard_link(&thesis, &file) } else { symlink(&thesis, &file) };
            planted.unwrap();
            refused(&dir, dir.embed_to("out", &RESUME), &[expected, "--scratch names another place"]);
            fs::rename(&aside, &file).unwrap();
        }
    }
    // A name that no run gives, in the place of a run's folder.
    for name in ["thesis.txt", "007", "+1", "99999999999999999999"] {
        fs::write(folder.join(name), "years of work").unwrap();
        let expected = format!("contains 0/{name}, which no run has made");
        refused(&dir, dir.embed_to("out", &RESUME), &[&expected, "--scratch names another place"]);
        refused(
            &dir,
            dir.embed_to("out", &["--scratch", "shared", "--resume", "--no-lowercase"]),
            &[&expected],
        );
        fs::remove_file(folder.join(name)).unwrap();
    }
    dir.embed_to("clean", &[]).run().expect(0);
    dir.embed_to("out", &RESUME).run().expect(0);
    assert_same_bytes(&dir.output("clean"), &dir.output("out"), "what was planted is gone again");
}

/// Root, too, uses no files of another user.
#[test]
fn what_another_user_has_left_is_not_used() {
    let Some(nobody) = wrapper::another_user() else { return };
    let dir = with_victim(DOCUMENTS);
    let belongs = format!("belongs to user {NOBODY}, but this run belongs to user {}:", user());
    // A partial output: if it were used, the published output would belong to another user.
    fs::create_dir(dir.path("out.partial")).unwrap();
    open_to_all(&dir.path("out.partial"), 0o777);
    chown(dir.path("out.partial"), Some(NOBODY), None).unwrap();
    for options in [&[][..], &["--force"], &RESUME] {
        refused(
            &dir,
            dir.embed_to("out", options),
            &["/out.partial: ", &belongs, "--output names another place"],
        );
    }
    fs::remove_dir(dir.path("out.partial")).unwrap();
    // Each part of an earlier run's checkpoint.
    let folder = left_halfway(&dir);
    let parts = [folder.parent().unwrap().to_owned(), folder.clone(), folder.join("plan"), folder.join("0")];
    for part in parts {
        chown(&part, Some(NOBODY), None).unwrap();
        let shown = part.strip_prefix(dir.path("")).unwrap().to_str().unwrap();
        refused(&dir, dir.embed_to("out", &RESUME), &[shown, &belongs, "--scratch names another place"]);
        chown(&part, Some(user()), None).unwrap();
    }
    // The place of an output that is moved aside.
    dir.embed_to("replaced", &[]).run().expect(0);
    fs::create_dir(dir.path("replaced.replaced.partial")).unwrap();
    chown(dir.path("replaced.replaced.partial"), Some(NOBODY), None).unwrap();
    let expected = ["/replaced.replaced.partial: ", &belongs, "--output names another place"];
    refused(&dir, dir.embed_to("replaced", &["--force"]), &expected);

    // The reverse: root's files in a directory where every user may make files.
    open_to_all(&dir.path("shared"), 0o1777);
    let belongs = format!("belongs to user {}, but this run belongs to user {NOBODY}:", user());
    let embed = |options: &[&str]| {
        dir.through(&nobody).args(&["embed", "--no-sync", "-o", "shared/new"]).args(options).args(&["corpus"])
    };
    for name in ["shared/new.partial".to_owned(), format!("shared/{}", checkpoint_name(&dir, "shared/new"))] {
        fs::create_dir(dir.path(&name)).unwrap();
        open_to_all(&dir.path(&name), 0o777);
        refused(&dir, embed(&RESUME), &[&name, &belongs]);
        fs::remove_dir(dir.path(&name)).unwrap();
    }
    // The error that only the owner may rename an output there must come before the run.
    dir.embed_to("shared/new", &[]).run().expect(0);
    refused(&dir, embed(&["--force"]), &["/shared/new: cannot be replaced", "Operation not permitted"]);
}

/// Other users can't read a checkpoint. An output gets the usual mode of the user's files.
#[test]
fn what_was_counted_is_the_users_own() {
    let dir = with_victim(DOCUMENTS);
    let folder = left_halfway(&dir);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(folder.parent().unwrap()), mode(&folder)), (0o700, 0o700));
    dir.embed_to("out", &RESUME).run().expect(0);
    fs::create_dir(dir.path("usual")).unwrap();
    assert_eq!(mode(&dir.path("out")), mode(&dir.path("usual")));
}
