use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// The bounds on a clock of their own, and what was written.
struct Rig {
    bounds: Bounds,
    begun: Instant,
    now: Instant,
    written: Vec<Entry>,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            bounds: Bounds::new(now),
            begun: now,
            now,
            written: Vec::new(),
        }
    }

    /// Lets some time pass, as the thread of the record does: in steps to the next search.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.bounds.search_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.bounds.search(self.now, &mut self.written);
        }
        self.now = end;
    }

    fn take(&mut self, entry: Entry) {
        let at = Timestamp::UNIX_EPOCH + (self.now - self.begun);
        self.written
            .extend(self.bounds.take(Entry { at, ..entry }, self.now));
    }

    fn end(mut self) -> Vec<Entry> {
        self.bounds.end(self.now, &mut self.written);
        self.written
    }
}

/// Returns how many things an entry stands for.
fn count(entry: &Entry) -> u64 {
    entry.repeats.map_or(1, |repeats| repeats.count)
}

fn counts(entries: &[Entry]) -> u64 {
    entries.iter().map(count).sum()
}

fn of(address: u32, peer: &str, kind: Kind, outcome: Outcome) -> Entry {
    Entry {
        outcome,
        peer: Some(peer.into()),
        address: Some(IpAddr::from(address.to_be_bytes())),
        ..Entry::at(Timestamp::UNIX_EPOCH, kind)
    }
}

fn refusal(address: u32, peer: &str) -> Entry {
    of(address, peer, Kind::Lock, Outcome::Refused)
}

#[test]
fn a_night_of_attempts_is_some_entries_with_their_number() {
    let mut rig = Rig::new();
    let attempts = 10 * 3_600;
    for port in 0..attempts {
        rig.take(refusal(1, &format!("watch[pc:{port}]")));
        rig.pass(SECOND);
    }
    let written = rig.end();
    assert!(written.len() < 100, "{} entries", written.len());
    assert_eq!(counts(&written), attempts);
    let at_once = written.iter().take_while(|entry| entry.repeats.is_none()).count();
    assert_eq!(at_once, 5);
    let first = &written[at_once];
    let since = first.repeats.unwrap().since;
    assert_eq!(since, Timestamp::UNIX_EPOCH + 5 * SECOND);
    assert!(first.at > since && first.at < Timestamp::UNIX_EPOCH + 61 * SECOND);
}

#[test]
fn a_program_that_locks_every_half_minute_has_an_entry_for_each() {
    let mut rig = Rig::new();
    for _ in 0..1_000 {
        rig.take(of(1, "sweep[pc:1]", Kind::Lock, Outcome::Ok));
        rig.take(of(1, "sweep[pc:1]", Kind::Unlock, Outcome::Ok));
        rig.pass(30 * SECOND);
    }
    assert_eq!(rig.end().len(), 2_000);
}

#[test]
fn a_computer_that_floods_the_record_has_its_share_and_the_others_have_theirs() {
    let mut rig = Rig::new();
    for second in 0..3_600_u32 {
        for number in 0..50 {
            // It chooses another name each time.
            let name = format!("{second}-{number}[pc:1]");
            rig.take(refusal(1, &name));
            rig.take(of(1, &name, Kind::Join, Outcome::Ok));
        }
        if second % 60 == 30 {
            rig.take(refusal(2, "honest[other:1]"));
            rig.take(of(2, "honest[other:1]", Kind::Lock, Outcome::Ok));
        }
        rig.pass(SECOND);
    }
    assert!(rig.bounds.left_out() > 300_000);
    let written = rig.end();
    let (honest, flood): (Vec<_>, Vec<_>) = written
        .iter()
        .partition(|entry| entry.peer.as_deref() == Some("honest[other:1]"));
    assert_eq!(
        honest
            .iter()
            .filter(|entry| entry.kind == Kind::Lock)
            .map(|entry| count(entry))
            .sum::<u64>(),
        120
    );
    assert!(honest.iter().all(|entry| entry.kind != Kind::Gap));
    // 100 + 60 * 10 refusals, 2,000 + 60 * 20 changes, and what tells of the others.
    assert!(flood.len() < 3_950, "{} entries", flood.len());
    assert_eq!(counts(&written), 3_600 * 100 + 120);
    let gap = flood.iter().find(|entry| entry.kind == Kind::Gap).unwrap();
    assert_eq!(gap.address, Some([0, 0, 0, 1].into()));
    assert!(
        gap.text
            .as_deref()
            .unwrap()
            .contains("of this computer were left out"),
        "{gap:?}"
    );
}

#[test]
fn many_computers_that_flood_the_record_hide_nothing_of_one_that_causes_little() {
    let mut rig = Rig::new();
    for second in 0..600_u32 {
        for computer in 10..40 {
            rig.take(refusal(computer, &format!("{second}[pc:1]")));
        }
        if second % 120 == 119 {
            rig.take(refusal(2, "honest[other:1]"));
        }
        rig.pass(SECOND);
    }
    let written = rig.end();
    let honest = written
        .iter()
        .filter(|entry| entry.address == Some([0, 0, 0, 2].into()));
    assert_eq!(honest.filter(|entry| entry.kind == Kind::Lock).count(), 5);
    assert_eq!(counts(&written), 600 * 30 + 5);
    assert!(
        written.len() < 1_000 + 600 + 30 * 6 + 10 * 17,
        "{} entries",
        written.len()
    );
}

#[test]
fn what_an_administrator_does_and_a_login_have_a_share_of_their_own() {
    let mut rig = Rig::new();
    for number in 0..10_000 {
        rig.take(of(1, &format!("{number}[pc:1]"), Kind::Join, Outcome::Ok));
    }
    let before = rig.written.len();
    rig.take(of(1, "a[pc:1]", Kind::Join, Outcome::Ok));
    assert_eq!(rig.written.len(), before);
    rig.take(of(1, "a[pc:1]", Kind::Login, Outcome::Ok));
    rig.take(of(1, "a[pc:1]", Kind::Admin, Outcome::Ok));
    rig.take(of(1, "a[pc:1]", Kind::Unlock, Outcome::Broken));
    rig.take(Entry::new(Kind::Stop));
    assert_eq!(rig.written.len(), before + 4);
    // Someone with a password has no way around the bounds either.
    for number in 0..10_000 {
        rig.take(of(1, &format!("{number}[pc:1]"), Kind::Login, Outcome::Ok));
    }
    assert!(rig.written.len() < before + 4 + 20);
}

#[test]
fn a_script_that_connects_in_a_loop_hides_nothing_else_of_its_computer() {
    let mut rig = Rig::new();
    for second in 0..3_600 {
        for number in 0..10 {
            let name = format!("{second}-{number}[pc:1]");
            for kind in [Kind::Join, Kind::Link, Kind::Unlink, Kind::Leave] {
                rig.take(of(1, &name, kind, Outcome::Ok));
            }
        }
        rig.pass(SECOND);
    }
    let before = rig.written.len();
    let administration = |text: &str, outcome| Entry {
        user: Some("root".into()),
        text: Some(text.into()),
        ..of(1, "root[pc:2]", Kind::Admin, outcome)
    };
    rig.take(administration("one", Outcome::Ok));
    rig.take(administration("two", Outcome::Error));
    rig.take(of(1, "eve[pc:3]", Kind::Admin, Outcome::Refused));
    rig.take(refusal(1, "eve[pc:3]"));
    rig.take(of(1, "ada[pc:4]", Kind::Lock, Outcome::Ok));
    rig.take(of(1, "ada[pc:4]", Kind::Approval, Outcome::Ok));
    rig.take(of(1, "ada[pc:4]", Kind::Command, Outcome::Ok));
    assert_eq!(rig.written.len(), before + 7);
    // The loop itself stays within its share.
    assert!(before < 2_000 + 60 * 20 + 100, "{before} entries");
}

#[test]
fn computers_that_connect_in_loops_hide_no_change_of_another() {
    let mut rig = Rig::new();
    for computer in 10..30 {
        for number in 0..2_000 {
            rig.take(of(computer, &format!("{number}[pc:1]"), Kind::Join, Outcome::Ok));
        }
    }
    let before = rig.written.len();
    for number in 0..50 {
        rig.take(of(2, &format!("{number}[pc:1]"), Kind::Lock, Outcome::Ok));
    }
    assert_eq!(rig.written.len(), before + 50);
}

#[test]
fn the_addresses_of_one_network_are_one_computer() {
    let mut rig = Rig::new();
    for number in 0..1_000_u16 {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, number);
        rig.take(Entry {
            address: Some(address.into()),
            ..refusal(1, "a[pc:1]")
        });
    }
    assert_eq!(rig.written.len(), 100);
    let mapped = "::ffff:10.0.0.1".parse().unwrap();
    assert_eq!(computer(mapped), IpAddr::from([10, 0, 0, 1]));
}

/// A generator of numbers that depend on their seed alone.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn whatever_comes_is_written_or_counted_and_what_is_held_is_bounded() {
    for seed in 0..20 {
        let mut numbers = Numbers(seed);
        let mut rig = Rig::new();
        let mut taken = 0;
        for _ in 0..20_000 {
            let address = u32::try_from(numbers.below(1 << (seed % 14))).unwrap();
            let name = format!("{}[pc:1]", numbers.below(1 << (seed % 8)));
            let kinds = [
                Kind::Join,
                Kind::Lock,
                Kind::Call,
                Kind::Admin,
                Kind::Login,
                Kind::Start,
            ];
            let kind = kinds[usize::try_from(numbers.below(6)).unwrap()];
            let outcomes = [Outcome::Ok, Outcome::Refused, Outcome::Error, Outcome::Broken];
            let outcome = outcomes[usize::try_from(numbers.below(4)).unwrap()];
            rig.take(of(address, &name, kind, outcome));
            taken += 1;
            if numbers.below(50) == 0 {
                rig.pass(SECOND * u32::try_from(numbers.below(100)).unwrap());
            }
            assert!(rig.bounds.equals.len() <= MOST_EQUALS);
            assert!(rig.bounds.computers.len() <= MOST_COMPUTERS + 1 + usize::try_from(GROUPS).unwrap());
        }
        // Nothing is held for those who come no more.
        rig.pass(2 * HOUR);
        assert_eq!(
            (rig.bounds.equals.len(), rig.bounds.computers.len()),
            (0, 0),
            "{seed}"
        );
        assert_eq!(rig.bounds.search_at(), None);
        assert_eq!(counts(&rig.end()), taken, "{seed}");
    }
}

#[test]
fn who_may_break_locks_does_not_fill_the_record() {
    let mut rig = Rig::new();
    for number in 0..100_000 {
        let mut entry = of(1, "ada[pc:1]", Kind::Admin, Outcome::Ok);
        entry.service = Some(format!("bench{number}").into());
        rig.take(entry);
        let mut broken = of(1, "ada[pc:1]", Kind::Unlock, Outcome::Broken);
        broken.service = Some(format!("bench{number}").into());
        rig.take(broken);
    }
    // The shares of one computer: PROVED, and that of changes.
    assert!(
        rig.written.len() <= 5_000 + 2_000,
        "{} entries",
        rig.written.len()
    );
    rig.take(of(2, "honest[other:1]", Kind::Lock, Outcome::Ok));
    let last = rig.written.last().expect("there are some");
    assert_eq!((last.kind, last.address), (Kind::Lock, Some([0, 0, 0, 2].into())));
    let written = rig.end();
    assert_eq!(counts(&written), 200_001, "the others are counted");
}

#[test]
fn what_an_administrator_does_is_recorded_whatever_others_do_behind_the_same_address() {
    let mut rig = Rig::new();
    for number in 0..20_000 {
        let mut refused = of(1, "eve[pc:1]", Kind::Admin, Outcome::Error);
        refused.user = Some("eve".into());
        refused.text = Some(format!("nosuch{number}").into());
        rig.take(refused);
        let mut done = of(1, "eve[pc:1]", Kind::Admin, Outcome::Ok);
        done.user = Some("eve".into());
        done.text = Some(format!("own{number}").into());
        rig.take(done);
    }
    let before = rig.written.len();
    for number in 0..30 {
        let mut added = of(1, "root[pc:2]", Kind::Admin, Outcome::Ok);
        added.user = Some("root".into());
        added.attribute = Some("access.add_role".into());
        added.text = Some(format!("role=\"role{number}\"").into());
        rig.take(added);
    }
    assert_eq!(rig.written.len(), before + 30, "each has another text");
}

#[test]
fn computers_behind_the_first_thousands_are_in_the_record_too() {
    let mut rig = Rig::new();
    for number in 0..6_000_u32 {
        for _ in 0..3 {
            rig.take(refusal(1_000 + number, "a[pc:1]"));
        }
    }
    let before = rig.written.len();
    for computer in [1, 2, 3] {
        rig.take(of(computer, "honest[other:1]", Kind::Lock, Outcome::Ok));
    }
    assert_eq!(rig.written.len(), before + 3);
}

#[test]
fn calls_with_other_arguments_have_entries_of_their_own_and_no_flood_of_them_fills_the_record() {
    let call = |address: u32, arguments: Option<String>| Entry {
        service: Some("DMM".into()),
        attribute: Some("set".into()),
        arguments: arguments.map(Into::into),
        cost: Some(Cost::default()),
        ..of(address, "Ada[pc:1]", Kind::Call, Outcome::Ok)
    };
    let mut rig = Rig::new();
    for number in 0..50 {
        rig.take(call(1, Some(format!("[{number}]"))));
    }
    for _ in 0..50 {
        rig.take(call(1, Some("[7]".to_owned())));
    }
    let written = rig.end();
    assert_eq!(counts(&written), 100);
    let equal = written
        .iter()
        .filter(|entry| entry.arguments.as_deref() == Some("[7]"));
    assert!(equal.clone().count() < 20 && equal.map(count).sum::<u64>() == 51);

    let mut rig = Rig::new();
    let calls = 100_000;
    for number in 0..calls {
        rig.take(call(1, Some(format!("[{number:0500}]"))));
        rig.pass(Duration::from_millis(1));
    }
    // Another computer still has its arguments recorded.
    rig.take(call(2, Some("[1]".to_owned())));
    assert_eq!(rig.written.last().unwrap().arguments.as_deref(), Some("[1]"));
    let written = rig.end();
    assert_eq!(counts(&written), calls + 1);
    let bytes: usize = written
        .iter()
        .flat_map(|entry| &entry.arguments)
        .map(|text| text.len())
        .sum();
    assert!(
        bytes < 400_000 && written.len() < 1_500,
        "{bytes} bytes, {} entries",
        written.len()
    );
    // What was not recorded is told as calls of the attribute, without arguments.
    let rest = written.iter().filter(|entry| entry.arguments.is_none());
    assert!(rest.clone().count() > 0);
}
