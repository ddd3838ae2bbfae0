//! Late, lost and surplus answers: none is taken for that of another command.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use super::*;
use crate::transport::Read;

/// An instrument in memory. It takes a time for each command, and answers one after the other.
#[derive(Default)]
struct Wire {
    /// What comes, and when.
    coming: VecDeque<(Instant, Vec<u8>)>,
    busy_until: Option<Instant>,
    /// How long it takes for the next commands.
    delays: VecDeque<Duration>,
    /// Sent at once when the next query comes.
    before: Option<&'static [u8]>,
    /// Sent right behind the next answer, after this time.
    surplus: Option<(Duration, &'static [u8])>,
    sent: Vec<String>,
}

#[derive(Clone, Default)]
struct Fake {
    wire: Arc<Mutex<Wire>>,
    forgets: bool,
}

impl Fake {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap()
    }

    fn delay(&self, milliseconds: &[u64]) {
        let delays = milliseconds.iter().copied().map(Duration::from_millis);
        self.wire().delays = delays.collect();
    }
}

impl Wire {
    fn answer(&mut self, command: &str) {
        self.sent.push(command.to_owned());
        let answer = match command.split_once(' ') {
            Some(("ECHO?", number)) => number,
            _ if command == "*IDN?" => "ACME,1,2",
            _ => return,
        };
        let now = Instant::now();
        let begin = self.busy_until.map_or(now, |busy| busy.max(now));
        let at = begin + self.delays.pop_front().unwrap_or_default();
        self.busy_until = Some(at);
        if let Some(bytes) = self.before.take() {
            self.coming.push_back((now, bytes.to_vec()));
        }
        self.coming.push_back((at, format!("{answer}\r\n").into_bytes()));
        if let Some((after, bytes)) = self.surplus.take() {
            self.coming.push_back((at + after, bytes.to_vec()));
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let (at, _) = self.coming.front()?;
        if *at > Instant::now() {
            return None;
        }
        self.coming.pop_front().map(|(_, bytes)| bytes)
    }
}

impl Port for Fake {
    fn write(&mut self, bytes: &[u8], _: Duration) -> io::Result<()> {
        let text = std::str::from_utf8(bytes).unwrap();
        text.lines().for_each(|command| self.wire().answer(command));
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], limit: Duration) -> io::Result<Read> {
        let end = Instant::now() + limit;
        loop {
            let bytes: Vec<u8> = {
                let mut wire = self.wire();
                std::iter::from_fn(|| wire.take()).flatten().collect()
            };
            if !bytes.is_empty() {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                return Ok(Read {
                    length: bytes.len(),
                    is_message: false,
                });
            }
            let now = Instant::now();
            if now >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let next = self.wire().coming.front().map_or(end, |(at, _)| end.min(*at));
            thread::sleep(next.saturating_duration_since(now));
        }
    }

    fn discard(&mut self) -> io::Result<usize> {
        let mut wire = self.wire();
        Ok(std::iter::from_fn(|| wire.take()).map(|bytes| bytes.len()).sum())
    }

    fn forgets(&self) -> bool {
        self.forgets
    }

    fn drops_unread(&self) -> bool {
        false
    }
}

/// An instrument with a timeout of so many milliseconds.
fn definition(timeout: u64, has_identification: bool) -> Arc<Definition> {
    let identification = if has_identification {
        "identification = { query = \"*IDN?\", expect = \"ACME,*\" }"
    } else {
        ""
    };
    let text = format!(
        "name = \"M\"\n{identification}\n[connection]\nserial = \"/dev/null\"\ntimeout = \"{timeout}ms\"\n\
         [commands.echo]\nquery = \"ECHO? {{x}}\"\nanswer = \"integer\"\narguments.x = {{ type = \"integer\" }}\n\
         [commands.name]\nquery = \"*IDN?\"\nanswer = \"text\"\n"
    );
    Arc::new(Definition::parse(&text).unwrap())
}

/// A session that is opened again when it has to be.
struct Lasting {
    fake: Fake,
    definition: Arc<Definition>,
    session: Option<Session>,
    outstanding: Outstanding,
    opened: u32,
}

impl Lasting {
    fn new(fake: Fake, definition: Arc<Definition>) -> Self {
        Self {
            fake,
            definition,
            session: None,
            outstanding: Outstanding::default(),
            opened: 0,
        }
    }

    /// Returns an instrument that has answered some commands.
    fn in_step(forgets: bool, definition: Arc<Definition>) -> (Fake, Self) {
        let fake = Fake {
            forgets,
            ..Fake::default()
        };
        let mut lasting = Self::new(fake.clone(), definition);
        lasting.is_in_step();
        (fake, lasting)
    }

    fn session(&mut self) -> &mut Session {
        while self.session.is_none() {
            if self.fake.forgets {
                *self.fake.wire() = Wire::default();
            }
            let port = Box::new(self.fake.clone());
            let is_first = self.opened == 0;
            self.opened += 1;
            let opened = Session::begin(port, &self.definition, nobody(), &mut self.outstanding, is_first);
            self.session = opened.ok();
        }
        self.session.as_mut().unwrap()
    }

    fn call(&mut self, name: &str, text: &str) -> Result<Value, ExchangeError> {
        let definition = Arc::clone(&self.definition);
        let answer = definition.command(name).unwrap().answer.as_ref();
        let limit = definition.connection.timeout;
        let done = self.session().execute(text, answer, limit);
        if let Err(error) = &done
            && error.ends_session()
        {
            self.outstanding = self.session.take().unwrap().close();
        }
        done
    }

    fn echo(&mut self, number: i64) -> Result<Value, ExchangeError> {
        self.call("echo", &format!("ECHO? {number}"))
    }

    /// Checks that some calls get their own answers.
    fn is_in_step(&mut self) {
        for number in [1, 2, 3, 4] {
            assert_eq!(self.echo(number).unwrap(), Value::Integer(number));
        }
    }
}

/// Longer than a scheduler keeps a thread waiting, as a rule; a longer wait makes no answer wrong.
const TIMEOUT: u64 = 100;

/// The answer comes when the identification query has been given up, too: then two of its answers follow.
#[test]
fn the_answers_of_two_identification_queries_are_not_those_of_commands() {
    for forgets in [false, true] {
        let (fake, mut lasting) = Lasting::in_step(forgets, definition(TIMEOUT, true));
        fake.delay(&[2 * TIMEOUT + TIMEOUT / 2, 5, 5, 5, 5, 5, 5]);
        let error = lasting.echo(7).unwrap_err();
        assert_eq!((error.kind(), error.ends_session()), ("TimeoutError", true));
        lasting.is_in_step();
    }
}

/// Its late answer looks like that of the query that follows.
#[test]
fn a_late_answer_that_looks_like_the_identification_is_none() {
    for forgets in [false, true] {
        let (fake, mut lasting) = Lasting::in_step(forgets, definition(TIMEOUT, true));
        fake.delay(&[TIMEOUT + TIMEOUT / 2, 5, 5, 5]);
        let error = lasting.call("name", "*IDN?").unwrap_err();
        // A new connection takes less time than waiting.
        assert_eq!((error.kind(), error.ends_session()), ("TimeoutError", forgets));
        lasting.is_in_step();
    }
}

#[test]
fn a_command_without_an_answer_costs_one_identification() {
    let (fake, mut lasting) = Lasting::in_step(false, definition(TIMEOUT, true));
    let error = lasting.call("echo", "NOTHING?").unwrap_err();
    assert_eq!((error.kind(), error.ends_session()), ("TimeoutError", false));
    lasting.is_in_step();
    let asked = fake
        .wire()
        .sent
        .iter()
        .filter(|command| *command == "*IDN?")
        .count();
    assert_eq!((asked, lasting.opened), (2, 1));
}

#[test]
fn a_surplus_line_costs_one_answer_and_no_value_is_wrong() {
    for has_identification in [true, false] {
        let (fake, mut lasting) = Lasting::in_step(false, definition(TIMEOUT, has_identification));
        // It comes while an answer is waited for.
        fake.delay(&[TIMEOUT / 2]);
        fake.wire().before = Some(b"REBOOTED\r\n");
        let error = lasting.echo(8).unwrap_err();
        assert_eq!(
            (error.kind(), error.ends_session()),
            ("AnswerError", false),
            "{error}"
        );
        lasting.is_in_step();
        // It comes with the answer, and may be the answer itself.
        fake.wire().surplus = Some((Duration::ZERO, b"9\r\n"));
        let error = lasting.echo(7).unwrap_err().to_string();
        assert!(
            error.contains("'9' came with it, and which of them is the answer"),
            "{error}"
        );
        lasting.is_in_step();
        // What cannot be the answer is left out.
        for behind in [&b"OK\r\n"[..], b"\r\n", b"> "] {
            fake.wire().surplus = Some((Duration::ZERO, behind));
            assert_eq!(lasting.echo(7).unwrap(), Value::Integer(7));
        }
        lasting.is_in_step();
    }
}

/// Without an identification, only a new connection or waiting tells whether the real answer still comes.
#[test]
fn an_answer_that_comes_long_after_a_surplus_line_is_left_out() {
    for forgets in [false, true] {
        let (fake, mut lasting) = Lasting::in_step(forgets, definition(3 * 200, false));
        fake.delay(&[2 * 200]);
        fake.wire().before = Some(b"REBOOTED\r\n");
        let error = lasting.echo(8).unwrap_err();
        assert_eq!(
            (error.kind(), error.ends_session()),
            ("AnswerError", forgets),
            "{error}"
        );
        lasting.is_in_step();
    }
}

/// What was kept in doubt costs one answer, and not every further one.
#[test]
fn a_lost_answer_that_could_be_the_identification_is_not_waited_for_again_and_again() {
    let mut lasting = Lasting::new(Fake::default(), definition(TIMEOUT, true));
    assert_eq!(
        lasting.call("name", "NOTHING?").unwrap_err().kind(),
        "TimeoutError"
    );
    let identity = Value::Text("ACME,1,2".to_owned());
    if let Err(error) = lasting.call("name", "*IDN?") {
        assert_eq!(error.kind(), "TimeoutError");
    }
    for _ in 0..3 {
        assert_eq!(lasting.call("name", "*IDN?").unwrap(), identity);
    }
    lasting.is_in_step();
}

/// The end of an answer that was given up is no answer.
#[test]
fn what_comes_after_an_answer_without_an_end_is_left_out_on_the_next_connection() {
    let fake = Fake::default();
    let mut of_definition = Definition::clone(&definition(TIMEOUT, false));
    of_definition.connection.max_answer = 4;
    let mut lasting = Lasting::new(fake.clone(), Arc::new(of_definition));
    lasting.is_in_step();
    fake.wire().surplus = Some((Duration::from_millis(50), b"6\r\n"));
    let error = lasting.echo(1_234_567).unwrap_err();
    assert_eq!(
        (error.kind(), error.ends_session()),
        ("AnswerError", true),
        "{error}"
    );
    lasting.is_in_step();
}

#[test]
fn a_command_that_contains_what_ends_one_is_not_sent() {
    let fake = Fake::default();
    let mut of_definition = Definition::clone(&definition(TIMEOUT, true));
    let attempts = [
        ("#", "LABEL a#OUTP:ON"),
        ("##", "LABEL a##OUTP:ON"),
        ("##", "LABEL a#"),
    ];
    for (sent, (end, text)) in (1..).zip(attempts) {
        of_definition.connection.write_end = end.into();
        let mut session = Session {
            port: Box::new(fake.clone()),
            definition: Arc::new(of_definition.clone()),
            listener: nobody(),
            ready_at: Instant::now(),
            identity: None,
            outstanding: Outstanding::default(),
            has_left_out: false,
            chunk: vec![0; CHUNK],
        };
        let error = session.execute(text, None, Duration::ZERO).unwrap_err();
        assert_eq!((error.kind(), error.ends_session()), ("ValueError", false));
        assert!(
            error
                .to_string()
                .ends_with("which ends a command (write_end); nothing was sent")
        );
        session.execute("LABEL a", None, Duration::ZERO).unwrap();
        assert_eq!(fake.wire().sent.len(), sent);
    }
}

/// Delays up to nearly the three timeouts for which a late answer is waited for.
#[test]
fn with_random_delays_each_value_is_that_of_its_command() {
    const FEW: u64 = 20;
    for (seed, forgets, has_identification) in [
        (1, false, true),
        (2, true, true),
        (3, false, false),
        (4, true, false),
    ] {
        let fake = Fake {
            forgets,
            ..Fake::default()
        };
        let mut lasting = Lasting::new(fake.clone(), definition(FEW, has_identification));
        let (mut random, mut right) = (seed * 7_919_u64, 0);
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        for number in 0..60 {
            let delays: Vec<u64> = (0..8)
                .map(|_| if next(100) < 20 { next(FEW * 5 / 2) } else { 0 })
                .collect();
            fake.delay(&delays);
            if let Ok(value) = lasting.echo(number) {
                assert_eq!(value, Value::Integer(number), "seed {seed}");
                right += 1;
            }
        }
        assert!(right > 0, "seed {seed}: no call was answered");
    }
}
