//! Manual pages and completions: they name every command and option, and shells accept them.

use crate::support::Dir;
use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;

/// The long options that `--help` of a command lists.
fn options(dir: &Dir, command: &str) -> Vec<String> {
    let help = dir.bowline(&[command, "--help"]).run().expect(0).stdout;
    let words = help.split(|c: char| c.is_whitespace() || c == ',' || c == '[');
    let options = words.filter(|word| word.starts_with("--") && word.len() > 2);
    options.map(|option| option.trim_end_matches([']', '.', ';', ':', ')']).to_owned()).collect()
}

#[test]
fn manual_pages_name_every_option() {
    let dir = Dir::new();
    fs::create_dir(dir.path("man")).unwrap();
    dir.bowline(&["man", "man"]).run().expect(0);
    for command in ["embed", "inspect"] {
        let page = fs::read_to_string(dir.path(format!("man/bowline-{command}.1"))).unwrap();
        let page = page.replace("\\-", "-");
        let options = options(&dir, command);
        assert!(options.len() > 3, "{options:?}");
        for option in options {
            assert!(page.contains(&option), "{command}: {option} is not in the manual page");
        }
    }
    assert!(dir.path("man/bowline.1").exists());
    let line = dir.bowline(&["man", "nowhere"]).run().expect(1).line().to_owned();
    assert!(line.starts_with("nowhere: No such file or directory"), "{line}");
}

/// A pipe that no program reads is not waited for, and one that a program reads is not written to.
#[test]
fn a_manual_page_is_not_written_to_a_pipe() {
    let dir = Dir::new();
    fs::create_dir(dir.path("man")).unwrap();
    mkfifo(&dir.path("man/bowline.1"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let man = || dir.bowline(&["man", "man"]).run().expect(1).line().to_owned();
    assert!(man().starts_with("man: No such device or address"), "{}", man());
    let _reader =
        fs::File::options().read(true).custom_flags(O_NONBLOCK).open(dir.path("man/bowline.1")).unwrap();
    assert_eq!(man(), "man: man/bowline.1 is not a file");
}

#[test]
fn completions_name_every_option_and_shells_accept_them() {
    let dir = Dir::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = dir.bowline(&["completions", shell]).run().expect(0).stdout;
        for option in options(&dir, "embed") {
            let name = if shell == "fish" { option.trim_start_matches("--") } else { &option };
            assert!(script.contains(name), "{shell}: {option} is not completed");
        }
        dir.write(shell, &script);
        match Command::new(shell).arg("-n").arg(dir.path(shell)).status() {
            Ok(status) => assert!(status.success(), "{shell} does not accept its script"),
            Err(error) => eprintln!("not tried: {shell}: {error}"),
        }
    }
    assert!(dir.bowline(&["completions", "cobol"]).run().expect(2).stderr.contains("cobol"));
}
