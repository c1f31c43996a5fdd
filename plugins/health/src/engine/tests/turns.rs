//! Jobs that hang: no other job on the same object starts, and their late results are dropped.

use super::*;

const DISK: &str = "[[disk]]\nname = \"d\"\npath = \"/mnt\"\nmin_free = \"1%\"\ninterval = \"10s\"\n\
                    timeout = \"5s\"\nrise = 1\nfall = 1\n";

impl Lab {
    /// Starts a run that hangs.
    fn hang(&mut self) -> u64 {
        self.pass(S);
        self.jobs.pop().expect("it runs").0
    }

    fn end(&mut self, run: u64, finding: Finding) {
        self.engine.handle_result(self.now_ns(), run, vec![finding]);
        self.act();
    }
}

#[test]
fn a_reading_that_hangs_is_not_joined_by_another() {
    let other = DISK.replace("\"d\"", "\"e\"").replace("/mnt", "/var");
    let mut lab = Lab::new(&format!("{DISK}{other}"));
    lab.pass(S);
    let (second, _) = lab.jobs.pop().expect("the other runs, too");
    lab.end(second, Finding::good("1 GiB free"));
    assert_eq!(lab.jobs.len(), 1);
    for _ in 0..100 {
        lab.pass(10 * S);
        let (run, job) = lab.jobs.pop().expect("the other runs");
        assert!(matches!(&job, Job::Read(Kind::Disk { path, .. }) if path.ends_with("var")));
        lab.end(run, Finding::good("1 GiB free"));
        assert_eq!(lab.jobs.len(), 1, "the first has hung since it began");
    }
    let late = (Some(0), "no answer within 5s");
    assert_eq!((lab.state("d"), lab.why("d")), late);
    assert_eq!(lab.state("e"), Some(100));
    let runs = Some(Value::Counter(100));
    assert_eq!(lab.row("d.failures"), runs, "each run has failed");
}

#[test]
fn what_a_hanging_reading_finds_at_last_is_no_answer_to_a_later_run() {
    let mut lab = Lab::new(DISK);
    let hung = lab.hang();
    lab.pass(10 * S);
    assert!(lab.jobs.is_empty(), "the second run waits");
    lab.end(hung, Finding::good("1 GiB free"));
    assert_eq!(lab.state("d"), Some(0), "that was read long ago");
    let (run, _) = lab.jobs.pop().expect("the second run begins in its place");
    lab.end(run, Finding::good("2 GiB free"));
    assert_eq!((lab.state("d"), lab.why("d")), (Some(100), "2 GiB free"));
}

#[test]
fn the_time_of_a_run_counts_while_it_waits() {
    let mut lab = Lab::new(DISK);
    let hung = lab.hang();
    lab.pass(13 * S);
    lab.end(hung, Finding::good("1 GiB free"));
    assert_eq!(lab.jobs.len(), 1);
    lab.pass(S);
    let failures = Some(Value::Counter(2));
    assert_eq!(lab.row("d.failures"), failures, "4 s late, and 1 s on top");
    assert_eq!(lab.state("d"), Some(0));
}

#[test]
fn a_run_that_is_over_does_not_begin_when_the_one_before_it_ends() {
    let mut lab = Lab::new(DISK);
    let hung = lab.hang();
    lab.pass(17 * S);
    lab.end(hung, Finding::good("1 GiB free"));
    assert!(lab.jobs.is_empty(), "no run is open");
    assert_eq!(lab.cancelled, [hung], "only what has begun is cancelled");
    assert_eq!(lab.state("d"), Some(0));
    lab.conclude(Finding::good("2 GiB free"));
    assert_eq!(lab.state("d"), Some(100));
}

#[test]
fn no_reload_adds_a_reading_to_one_that_hangs() {
    let mut lab = Lab::new(DISK);
    let hung = lab.hang();
    for percent in 2..50 {
        lab.configure("");
        lab.pass(S);
        lab.configure(&DISK.replace("1%", &format!("{percent}%")));
        lab.pass(S);
        lab.configure(&DISK.replace("\"d\"", &format!("\"d{percent}\"")));
        lab.pass(S);
        assert!(lab.jobs.is_empty());
    }
    lab.configure(&DISK.replace("/mnt", "/srv"));
    lab.pass(S);
    assert_eq!(lab.jobs.len(), 1, "what is at another place has its turn");
    lab.end(hung, Finding::good("1 GiB free"));
    assert_eq!(lab.jobs.len(), 1, "nobody waits for the old one");
}

#[test]
fn checks_of_one_file_take_turns() {
    let file = |name, text| {
        format!("[[file]]\nname = \"{name}\"\npath = \"/run/flag\"\ncontains = \"{text}\"\n")
    };
    let mut lab = Lab::new(&[file("a", "1"), file("b", "2"), file("c", "3")].concat());
    lab.pass(S);
    for (name, text) in [("a", "1"), ("b", "2"), ("c", "3")] {
        assert_eq!(lab.jobs.len(), 1);
        let (run, job) = lab.jobs.pop().expect("one of them");
        assert!(
            matches!(&job, Job::Read(Kind::File(file)) if file.contains.as_deref() == Some(text))
        );
        lab.end(run, Finding::good(text));
        assert_eq!((lab.state(name), lab.why(name)), (Some(100), text));
    }
    assert!(lab.jobs.is_empty());
}

#[test]
fn a_program_that_cannot_be_killed_is_not_joined_by_another() {
    let mut lab = Lab::new("[[script]]\nname = \"s\"\nargv = [\"/s\"]\n");
    let hung = lab.hang();
    lab.pass(100 * S);
    assert_eq!((lab.state("s"), lab.jobs.len()), (Some(0), 0));
    lab.end(hung, Finding::failed("was ended by signal 9"));
    lab.pass(10 * S);
    assert_eq!(lab.jobs.len(), 1);
}

#[test]
fn a_connection_ends_with_its_run() {
    let tcp = "[[tcp]]\nname = \"t\"\naddress = \"192.0.2.1:443\"\nfall = 1\n";
    let mut lab = Lab::new(tcp);
    lab.pass(6 * S);
    assert_eq!((lab.jobs.len(), lab.cancelled.len()), (2, 1));
}
