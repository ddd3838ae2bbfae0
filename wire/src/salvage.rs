//! Extracts names from malformed lines.
//!
//! A service that prints `nan` for a reading, or half of a line, usually still names the request
//! that it answers, and the waiting client must be notified. So the line is searched for the few
//! keys that matter, regardless of what surrounds them.
//!
//! A key is recognised by its quotes and the colon after it. Inside a JSON string each quote is
//! preceded by a backslash, so text in a payload never looks like a key as long as the strings are
//! well-formed. A string without its closing quote ends where the next key starts. Brackets outside
//! of strings are counted, to distinguish the envelope from the payload. The count starts at the
//! beginning of the line. Since an extra or missing bracket makes it wrong from there on, members
//! that were not found are searched again from the end of the line backwards.
//!
//! Both searches take linear time and do not recurse.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memrchr};

use crate::envelope::{MAX_REFUSED_UID_BYTES, Member};
use crate::json::{self, as_string};
use crate::terminal::looks;
use crate::uid::Uid;

/// The most bytes of a member's value to read. The longest name with an escape for each character
/// is shorter.
const VALUE_BYTES: usize = 8 * 1024;

/// The longest key with escapes, in bytes: the longest key has nine characters.
const ESCAPED_KEY_BYTES: usize = 64;

/// The most frames to distinguish in one line.
const MAX_FRAMES: usize = 16;

/// The names that can still be read from a malformed line.
///
/// ```
/// use labwire_wire::Salvage;
///
/// let line = br#"{"requester": "Ada[h:1]", "result": [1.5, nan], "uid": "7"}"#;
/// let salvage = Salvage::of(line);
/// let [frame] = salvage.frames() else { panic!("it is one frame") };
/// assert_eq!(frame.requester.as_deref(), Some("Ada[h:1]"));
/// assert_eq!(frame.uid, Some("7".into()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    frames: Vec<Names>,
    /// The uid inside payloads, if there is exactly one.
    inner_uid: Option<Uid<'static>>,
}

/// The names in an envelope, as far as they can be read. A member with two different values counts
/// as unreadable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The client that a reply is for.
    pub requester: Option<String>,
    /// The request's uid. It may exceed the limit for requests.
    pub uid: Option<Uid<'static>>,
    /// Whether there is a member `attribute`, as in a request.
    pub asks: bool,
    /// Whether it is progress or an item, so that the reply is still to come: there is a member
    /// `progress` or `item`, and no `result`.
    pub is_partial: bool,
}

impl Salvage {
    /// Searches a line, which may contain any bytes.
    pub fn of(line: &[u8]) -> Self {
        let mut search = Search::default();
        search.forwards(line);
        if search.done.is_empty() && !search.frame.is_whole() {
            let mut back = Search::default();
            back.backwards(line);
            search.frame.complete(back.frame);
        }
        search.finish()
    }

    /// Returns the names of each frame in the line. There are several if the line ends between them
    /// are missing, and none if nothing was found.
    pub fn frames(&self) -> &[Names] {
        &self.frames
    }

    /// Returns the uids for the errors to the line's sender: those of its frames. If these have
    /// none, a uid elsewhere in the line counts if it is the only one.
    pub fn uids(&self) -> impl Iterator<Item = &Uid<'static>> {
        let mut of_frames = self
            .frames
            .iter()
            .filter_map(|frame| frame.uid.as_ref())
            .peekable();
        let inner = if of_frames.peek().is_some() {
            None
        } else {
            self.inner_uid.as_ref()
        };
        of_frames.chain(inner)
    }
}

/// The search result for a member.
#[derive(Debug, Default)]
enum Found<T> {
    #[default]
    Nothing,
    One(T),
    /// A value of the wrong type, or different values.
    Unclear,
}

impl<T: PartialEq> Found<T> {
    fn note(&mut self, value: Option<T>) {
        *self = match (std::mem::take(self), value) {
            (Self::Nothing, Some(value)) => Self::One(value),
            (Self::One(known), Some(value)) if known == value => Self::One(known),
            _ => Self::Unclear,
        };
    }

    /// Takes the result of another search if this one found nothing.
    fn complete(&mut self, other: Self) {
        if matches!(self, Self::Nothing) {
            *self = other;
        }
    }

    fn one(self) -> Option<T> {
        match self {
            Self::One(value) => Some(value),
            Self::Nothing | Self::Unclear => None,
        }
    }
}

/// The search result for one frame.
#[derive(Debug, Default)]
struct Frame {
    requester: Found<String>,
    uid: Found<Uid<'static>>,
    asks: bool,
    has_partial: bool,
    has_result: bool,
}

impl Frame {
    fn is_whole(&self) -> bool {
        !matches!(
            (&self.requester, &self.uid),
            (Found::Nothing, _) | (_, Found::Nothing)
        )
    }

    fn is_empty(&self) -> bool {
        matches!(
            (&self.requester, &self.uid, self.asks),
            (Found::Nothing, Found::Nothing, false)
        )
    }

    fn complete(&mut self, other: Self) {
        self.requester.complete(other.requester);
        self.uid.complete(other.uid);
        self.asks |= other.asks;
        self.has_partial |= other.has_partial;
        self.has_result |= other.has_result;
    }

    fn names(self) -> Names {
        Names {
            requester: self.requester.one(),
            uid: self.uid.one(),
            asks: self.asks,
            is_partial: self.has_partial && !self.has_result,
        }
    }
}

#[derive(Debug, Default)]
struct Search {
    /// The frames before the current one.
    done: Vec<Names>,
    frame: Frame,
    inner_uid: Found<Uid<'static>>,
}

impl Search {
    fn forwards(&mut self, line: &[u8]) {
        let (mut at, mut depth) = (0, 0_usize);
        let mut outermost = b'[';
        while let Some(&byte) = line.get(at) {
            looks::add(1);
            match byte {
                b'{' | b'[' => {
                    if depth == 0 {
                        outermost = byte;
                        if byte == b'{' && !self.begin_frame() {
                            return;
                        }
                    }
                    depth += 1;
                }
                // The frame continues after an extra bracket.
                b']' if depth == 1 && outermost == b'{' => {}
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'"' => {
                    let end = string_end(line, at);
                    if let Some((member, value)) = key(line, at).or_else(|| escaped_key(line, at, end)) {
                        self.note(member, &line[value..], depth);
                    }
                    at = end;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Starts another object. If something was found in the one before, that was a frame of its
    /// own. Returns whether more frames may follow.
    fn begin_frame(&mut self) -> bool {
        if !self.frame.is_empty() {
            self.done.push(std::mem::take(&mut self.frame).names());
        }
        self.done.len() < MAX_FRAMES
    }

    /// Searches backwards, for a line that is complete at its end: it ends with the frame's closing
    /// bracket, so at least one bracket is open from there on.
    fn backwards(&mut self, line: &[u8]) {
        let line = line.trim_ascii_end();
        let (mut at, mut depth) = (line.len(), 0_usize);
        if line.last() != Some(&b'}') {
            return;
        }
        while at > 0 {
            at -= 1;
            looks::add(1);
            match line[at] {
                b'}' | b']' => depth += 1,
                // Everything before the frame's own bracket, or an extra one, was searched
                // forwards.
                b'{' if depth == 1 => return,
                b'[' if depth == 1 => {}
                b'{' | b'[' => depth -= 1,
                b'"' => {
                    let Some(start) = string_start(line, at) else {
                        return;
                    };
                    if let Some((member, value)) = key(line, start) {
                        self.note(member, &line[value..], depth);
                    }
                    at = start;
                }
                _ => {}
            }
        }
    }

    /// Notes a member, given the line from its value on and the number of open brackets.
    fn note(&mut self, member: Member, rest: &[u8], depth: usize) {
        let is_inner = depth > 1;
        let value = &rest[..rest.len().min(VALUE_BYTES)];
        match member {
            Member::Attribute => self.frame.asks |= !is_inner,
            Member::Progress | Member::Item => self.frame.has_partial |= !is_inner,
            Member::Result => self.frame.has_result |= !is_inner,
            Member::Uid if is_inner => self.inner_uid.note(uid(value)),
            Member::Uid => self.frame.uid.note(uid(value)),
            // A service that has no requester sends null.
            Member::Requester if !is_inner && !value.starts_with(b"null") => {
                self.frame.requester.note(requester(value));
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Salvage {
        if !self.frame.is_empty() {
            self.done.push(self.frame.names());
        }
        Salvage {
            frames: self.done,
            inner_uid: self.inner_uid.one(),
        }
    }
}

fn uid(value: &[u8]) -> Option<Uid<'static>> {
    let uid = Uid::from_json(json::leading_scalar(value)?)?;
    (uid.len() <= MAX_REFUSED_UID_BYTES).then(|| uid.into_owned())
}

fn requester(value: &[u8]) -> Option<String> {
    let name = as_string(json::leading_scalar(value)?)?;
    name.decode().map(Cow::into_owned)
}

/// Returns the member whose key is the string at this quote, and the start of its value.
fn key(line: &[u8], quote: usize) -> Option<(Member, usize)> {
    let (member, length) = Member::at_start(&line[quote..])?;
    Some((member, value_behind(line, quote + length)?))
}

/// Does the same for a string up to `end` that contains escapes.
fn escaped_key(line: &[u8], quote: usize, end: usize) -> Option<(Member, usize)> {
    let spelled = &line[quote..end];
    if spelled.len() > ESCAPED_KEY_BYTES || memchr(b'\\', spelled).is_none() {
        return None;
    }
    let key = as_string(json::leading_scalar(spelled)?)?;
    Some((Member::from_key(key)?, value_behind(line, end)?))
}

/// Returns the start of a key's value, if a colon follows the key.
fn value_behind(line: &[u8], key: usize) -> Option<usize> {
    let white_space = |from: usize| {
        let count = line[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        looks::add(count + 1);
        from + count
    };
    let colon = white_space(key);
    (line.get(colon) == Some(&b':')).then(|| white_space(colon + 1))
}

/// Returns the end of the string that starts at a quote: after its closing quote or, if that is
/// missing, where the next key starts.
fn string_end(line: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(offset) = line.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        looks::add(offset + 1);
        at += offset;
        if line[at] == b'"' {
            let starts_key = key(line, at).is_some();
            return if starts_key { at } else { at + 1 };
        }
        // An escaped character does not end the string.
        at += 2;
    }
    looks::add(line.len().saturating_sub(at));
    line.len()
}

/// Returns the opening quote of the string with this closing quote.
fn string_start(line: &[u8], last: usize) -> Option<usize> {
    let mut end = last;
    loop {
        let quote = memrchr(b'"', &line[..end])?;
        let backslashes = line[..quote]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        looks::add(end - quote + backslashes);
        if backslashes % 2 == 0 {
            return Some(quote);
        }
        end = quote;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: impl AsRef<[u8]>) -> Vec<(Option<String>, Option<Uid<'static>>)> {
        let frames = Salvage::of(line.as_ref()).frames;
        frames
            .into_iter()
            .map(|frame| (frame.requester, frame.uid))
            .collect()
    }

    /// Checks the names of a single frame: the requester, and the uid as JSON text. A dash stands
    /// for unreadable.
    fn assert_names(line: impl AsRef<[u8]>, requester: &str, uid: &str) {
        let known = |text: &str| (text != "-").then(|| text.to_owned());
        let found = names(&line);
        let found = match &found[..] {
            [] => (None, None),
            [(requester, uid)] => (
                requester.clone(),
                uid.as_ref().map(|uid| uid.to_json().into_owned()),
            ),
            several => panic!("several frames: {several:?}"),
        };
        assert_eq!(
            found,
            (known(requester), known(uid)),
            "{}",
            String::from_utf8_lossy(line.as_ref())
        );
    }

    #[test]
    fn the_names_are_found_on_both_sides_of_what_is_broken() {
        for broken in [
            "nan",
            "[1, INF, -inf]",
            "1.5.2",
            "1,5",
            "'text'",
            "True",
            "{a: 1}",
            "",
            "[1,]",
            "[1,}",
            "[1",
            "[[1]",
            "1]",
            "[1]]",
            "{\"x\":[1}",
            "\"text",
            "5\" disk",
            "\"a 5\" disk\"",
            "\"\\x\"",
            "\"\u{1}\"",
            "<\"b\">",
            "{\"uid\":\"2\",\"x\":nan}",
            "[{\"requester\":\"d[h:3]\",\"uid\":3},nan]",
            "\"{\"",
        ] {
            let (requester, uid) = (r#""requester": "c[h:2]""#, r#""uid" : "1""#);
            let result = format!("\"result\":{broken}");
            for members in [
                [requester, &result, uid],
                [uid, &result, requester],
                [requester, uid, &result],
                [&result, uid, requester],
            ] {
                assert_names(format!("{{{}}}", members.join(", ")), "c[h:2]", "\"1\"");
            }
        }
        let not_text = b"{\"requester\":\"c[h:2]\",\"result\":\"\xff\xc3\",\"uid\":1}";
        assert_names(not_text, "c[h:2]", "1");
    }

    #[test]
    fn what_stands_in_a_payload_is_nobodys_name() {
        assert_names(r#"{"result":{"uid":"2","requester":"d"}},"x":nan}"#, "-", "-");
        assert_names(
            r#"{"result":[nan,"\"uid\":\"2\",\"requester\":\"d\""],"uid":"1"}"#,
            "-",
            "\"1\"",
        );
        assert_names(
            r#"{"result":nan,"message":"uid","traceback":["\"uid"],"uid":"1"}"#,
            "-",
            "\"1\"",
        );
    }

    #[test]
    fn a_line_that_was_cut_names_what_had_come() {
        for (line, requester, uid) in [
            (
                r#"{"requester":"c[h:2]","uid":"12","result":[1.5,"#,
                "c[h:2]",
                "\"12\"",
            ),
            (r#"{"requester":"c[h:2]","uid":"12"#, "c[h:2]", "-"),
            (r#"{"requester":"c[h:2]","ui"#, "c[h:2]", "-"),
            (r#"{"requester":"c[h:"#, "-", "-"),
        ] {
            assert_names(line, requester, uid);
        }
        assert_names(r#"{"requester":"c[h:2]","uid":12"#, "c[h:2]", "-");
        assert_names(r#"":"c[h:2]","result":1,"uid":12}"#, "-", "12");
    }

    #[test]
    fn members_that_contradict_each_other_name_nobody() {
        assert_names(r#"{"uid":"1","requester":"c","uid":"2"}"#, "c", "-");
        assert_names(r#"{"uid":"1","requester":"c","\u0075id":"2"}"#, "c", "-");
        assert_names(r#"{"uid":"1","requester":"c","uid":1}"#, "c", "-");
        assert_names(r#"{"uid":"1","requester":"c","uid":"1"}"#, "c", "\"1\"");
        assert_names(r#"{"uid":"1","requester":"c","requester":"d"}"#, "-", "\"1\"");
    }

    #[test]
    fn names_of_a_wrong_type_are_none() {
        for uid in [
            "null",
            "true",
            "[1]",
            "{}",
            "NaN",
            "-",
            "05",
            "\"\\ud800\"",
            "\"\\é\"",
            "\"\\u+123\"",
        ] {
            assert_names(format!(r#"{{"uid":{uid},"requester":"c"}}"#), "c", "-");
        }
        assert_names(r#"{"uid":"1","requester":5}"#, "-", "\"1\"");
        assert_names(r#"{"uid":"1","requester":null}"#, "-", "\"1\"");
    }

    #[test]
    fn frames_without_a_line_end_between_them_are_told_apart() {
        let reply = |uid| format!(r#"{{"requester":"c","result":{{}},"uid":{uid}}}"#);
        let found = names(reply(1) + &reply(2) + " " + &reply(3));
        let uids: Vec<_> = found
            .iter()
            .map(|(_, uid)| uid.as_ref().unwrap().as_str())
            .collect();
        assert_eq!(uids, ["1", "2", "3"]);
        assert_eq!(names(reply(1).repeat(1_000)).len(), MAX_FRAMES);
    }

    #[test]
    fn a_request_is_told_from_a_reply() {
        let asks = |line: &str| Salvage::of(line.as_bytes()).frames[0].asks;
        assert!(asks(r#"{"attribute":"a","args":[nan],"uid":"1"}"#));
        assert!(!asks(r#"{"result":{"attribute":nan},"uid":"1"}"#));
    }

    #[test]
    fn an_error_carries_the_uids_that_can_be_found_anywhere() {
        let uids = |line: &str| -> Vec<String> {
            let salvage = Salvage::of(line.as_bytes());
            salvage.uids().map(|uid| uid.to_json().into_owned()).collect()
        };
        assert_eq!(uids(r#"{"args":[1,},"uid":"1"}"#), ["\"1\""]);
        assert_eq!(uids(r#"{"args":[{"uid":2},nan],"uid":1}"#), ["1"]);
        assert_eq!(uids(r#"[{"service":"S","uid":"1"}]"#), ["\"1\""]);
        assert!(uids(r#"[{"uid":"1"},{"uid":"2"}]"#).is_empty());
        assert_eq!(uids(r#"{"uid":"1"}{"uid":"2"}"#), ["\"1\"", "\"2\""]);
        assert!(uids(&format!(r#"{{"uid":"{}",}}"#, "x".repeat(100_000))).is_empty());
    }
}
